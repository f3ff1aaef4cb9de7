"""Restoring pictures by the prior alone: what a network paints first is the picture, what it paints last the damage."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.engine.executor import generate
from cfexplain.generators.noise import generator_for
from cfexplain.method.objective import WeightedTerm
from cfexplain.method.stage import Method
from cfexplain.method.stop import Step, decibels
from cfexplain.restore.preset import DEJPEG, DENOISE, FLASH, INPAINT, SUPERRESOLVE_4, SUPERRESOLVE_8
from cfexplain.restore.rule import HeldOut
from cfexplain.search.descend import Ending, Solution, minimise
from cfexplain.terms import KnownPixels, LowResolution, SamePixels
from cfexplain.terms.low_resolution import upsample
from cfexplain.types import Candidate, Problem

Pictures = Float[Tensor, "n c h w"]
"""Grey (c = 1) or coloured (c = 3) pictures with values in [0, 1]."""

Watch = Callable[[Step], object]


@dataclass(frozen=True, eq=False)
class Restoration:
    """A restored picture.

    Attributes:
        image: the restored picture, shape (n, c, h, w).
        painted: what the prior painted; `image` keeps known pixels where a mask says which they are.
        method: its name.
        steps: taken, by picture; of the last run.
        ending: why it ended, by picture; of the last run.
        seconds: in all.
        history: -10 log10 of the objective at each step of the last picture's last run; where it is the data term
            alone, the decibels between painting and input.
        decibels: between `painted` and the input, by picture; where a mask or a reduction stands between them, of
            what is known, of the reduced painting.
    """

    image: Pictures
    painted: Pictures
    method: str
    steps: tuple[int, ...]
    ending: tuple[Ending, ...]
    seconds: float
    history: tuple[float, ...]
    decibels: tuple[float, ...] = ()


@dataclass(frozen=True)
class Run:
    """How often and how long.

    Attributes:
        seed: of noise and weights.
        runs: their paintings are averaged; the source's best numbers average two.
        budget: seconds in all, after which the best so far is handed over.
        watch: called with each step.
    """

    seed: int = 0
    runs: int = 1
    budget: float = math.inf
    watch: Watch | None = None


ONCE = Run()
"""One run from seed 0, without a limit."""


def denoise(images: Pictures, *, method: Method = DENOISE, run: Run = ONCE) -> Restoration:
    """Remove noise: x* = f(z), f = argmin |f(z) - x|^2, stopped or averaged before the noise is learned.

    Args:
        images: noisy pictures in [0, 1], shape (n, c, h, w), c 1 or 3, any size.
        method: `DENOISE`, another of `PRESETS`, or your own.
        run: seed, repetitions, time.

    Raises:
        TypeError, ValueError: no such pictures.

    Source: Ulyanov et al. 2018, equation 3.

    Example:
        >>> from cfexplain.restore import DENOISE, fast
        >>> quick = fast(DENOISE, widths=(4, 4), share=0.001)
        >>> denoise(torch.rand(1, 3, 20, 30), method=quick).image.shape
        torch.Size([1, 3, 20, 30])
    """
    check_pictures(images)
    problems = [Problem(image) for image in images.split(1)]
    return _restored([(problem.query, problem) for problem in problems], method, run)


def dejpeg(images: Pictures, *, method: Method = DEJPEG, run: Run = ONCE) -> Restoration:
    """Remove blocks and ringing of JPEG, as `denoise` does noise (Ulyanov et al. 2018, figure 5).

    Raises:
        ValueError: the method holds pixels out, which says nothing of damage that neighbours share.
    """
    if isinstance(method.edit.stop, HeldOut):
        raise ValueError("holding pixels out is for noise: what JPEG did to a pixel, its neighbours tell")
    return denoise(images, method=method, run=run)


def inpaint(
    images: Pictures, missing: Float[Tensor, "n 1 h w"], *, method: Method = INPAINT, run: Run = ONCE
) -> Restoration:
    """Fill in what is missing: f = argmin |(f(z) - x) (1 - missing)|^2; known pixels are kept as they are.

    Args:
        images: shape (n, c, h, w); values under the mask do not matter.
        missing: 1 where a pixel is to be painted, 0 where it is known, shape (n, 1, h, w) or (n, c, h, w).
        method: `INPAINT` for text and scratches, `INPAINT_HALF`, `INPAINT_HOLE`, `INPAINT_LARGE`, ...
        run: seed, repetitions, time.

    Raises:
        TypeError, ValueError: no such pictures or masks, or nothing is known.

    Source: Ulyanov et al. 2018, equation 5. That known pixels are kept: ours, see `Restoration.painted`.
    """
    check_pictures(images)
    if missing.shape[0] != len(images) or missing.shape[-2:] != images.shape[-2:] or missing.ndim != 4:
        raise ValueError(f"the mask must be of the picture's size, {_size(images)}, and is of {_size(missing)}")
    if bool((missing.flatten(1) > 0.5).all(1).any()):
        raise ValueError("everything is missing: the mask is 1 where a pixel is to be painted and 0 where it is known")
    holes = (missing > 0.5).to(images)
    hidden = images * (1 - holes)
    tasks = [(x, Problem(x, region=m)) for x, m in zip(hidden.split(1), holes.split(1), strict=True)]
    found = _restored(tasks, method, run)
    return replace(found, image=torch.where(holes.bool(), found.painted, images))


def superresolve(images: Pictures, factor: int = 4, *, method: Method | None = None, run: Run = ONCE) -> Restoration:
    """Enlarge: f = argmin |d(f(z)) - x|^2 with d the reduction by `factor`.

    Args:
        images: small pictures, shape (n, c, h, w).
        factor: on each side; the method's term is set to it. 4 and 8 have published settings.
        method: `TV_4`, ...; None takes `SUPERRESOLVE_4` up to factor 4 and `SUPERRESOLVE_8` beyond.
        run: seed, repetitions, time.

    Returns:
        Pictures of shape (n, c, factor h, factor w).

    Raises:
        TypeError, ValueError: no such pictures, or the factor is below 2.

    Source: Ulyanov et al. 2018, equation 4.
    """
    check_pictures(images)
    if factor < 2:
        raise ValueError(f"factor is 2 or more, got {factor}")
    chosen = method or (SUPERRESOLVE_8 if factor > 4 else SUPERRESOLVE_4)
    return _restored([(upsample(x, factor), Problem(x)) for x in images.split(1)], _at_factor(chosen, factor), run)


def flash(
    images: Pictures, guides: Float[Tensor, "n 3 h w"], *, method: Method = FLASH, run: Run = ONCE
) -> Restoration:
    """Restore a dark, noisy photograph by painting it from one with flash: z is that photograph.

    Args:
        images: without flash, shape (n, c, h, w).
        guides: the same scene with flash, the same size.
        method: `FLASH`.
        run: seed, repetitions, time. Where the painting stays reddish, another seed helps (the source's remark).

    Raises:
        TypeError, ValueError: no such pictures, or their sizes differ.

    Source: Ulyanov et al. 2018, figure 9, and the released notebook.
    """
    check_pictures(images)
    check_pictures(guides)
    if guides.shape[-2:] != images.shape[-2:] or len(guides) != len(images):
        raise ValueError(f"photographs with and without flash differ in size: {_size(guides)} and {_size(images)}")
    if guides.shape[1] != images.shape[1]:
        guides = guides.mean(1, keepdim=True).expand(-1, images.shape[1], -1, -1)
    return _restored([(g, Problem(x)) for x, g in zip(images.split(1), guides.split(1), strict=True)], method, run)


def check_pictures(images: Tensor) -> None:
    """Refuse what is no finite float batch of grey or RGB pictures in [0, 1]."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        raise TypeError("pictures must be a floating point torch.Tensor in [0, 1]; divide 8-bit values by 255")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(f"pictures must have shape (n, 1 or 3, h, w), got {tuple(images.shape)}")
    if not bool(images.isfinite().all()) or float(images.min()) < 0 or float(images.max()) > 1:
        raise ValueError("pictures must be finite and lie in [0, 1]")
    if min(images.shape[-2:]) < 4:
        raise ValueError(f"pictures must have at least 4 pixels a side, got {tuple(images.shape[-2:])}")


def _restored(tasks: list[tuple[Tensor, Problem]], method: Method, run: Run) -> Restoration:
    """Paint each canvas: a picture of the size to paint, which is also what a guided painter paints from."""
    started, painted, last = time.perf_counter(), [], []
    for k, (canvas, problem) in enumerate(tasks):
        ends = [started + run.budget * (k + (r + 1) / run.runs) / len(tasks) for r in range(run.runs)]
        found = [_painted(canvas, problem, method, replace(run, seed=run.seed + r), end) for r, end in enumerate(ends)]
        painted.append(torch.stack([solution.image for solution in found]).mean(0))
        last.append(found[-1])
    image = torch.cat(painted)
    return Restoration(
        image=image,
        painted=image,
        method=method.name,
        steps=tuple(solution.steps for solution in last),
        ending=tuple(solution.ending for solution in last),
        seconds=time.perf_counter() - started,
        history=tuple(decibels(row["objective"]) for row in last[-1].history),
        decibels=tuple(_decibels(x, problem, method) for x, (_, problem) in zip(painted, tasks, strict=True)),
    )


def _held_out(
    canvas: Tensor, problem: Problem, method: Method, rule: HeldOut, seed: int
) -> tuple[Tensor, Problem, Method]:
    """The same, with some pixels kept from the descent for the rule to judge by."""
    parts = method.edit.objective.parts
    if problem.region is not None or not any(isinstance(part.term, SamePixels) for part in parts):
        raise ValueError(f"{method.name} cannot hold pixels out here: that is for noise, where every pixel is known")
    parts = tuple(replace(p, term=KnownPixels()) if isinstance(p.term, SamePixels) else p for p in parts)
    region = rule.drawn(problem.query, seed)
    if canvas is problem.query:  # what begins at the picture must not see them either
        canvas = torch.where(region.bool(), canvas.mean((2, 3), keepdim=True), canvas)
    return canvas, replace(problem, region=region), _of_parts(method, parts)


def _decibels(painted: Tensor, problem: Problem, method: Method) -> float:
    """Between a painting and the input, by the first term of the objective, the data term."""
    return decibels(float(method.edit.objective.parts[0].term(Candidate(painted, problem)).mean()))


def _size(images: Tensor) -> str:
    """Number, width and height, for a message."""
    return f"{len(images)} of {images.shape[-1]}x{images.shape[-2]} pixels"


def _painted(canvas: Tensor, problem: Problem, method: Method, run: Run, deadline: float) -> Solution:
    """One run on one picture. Where no rule chooses a painting it is one without jitter, as the source shows text."""
    if isinstance(method.edit.stop, HeldOut):
        canvas, problem, method = _held_out(canvas, problem, method, method.edit.stop, run.seed)
    stage, rng = method.edit, generator_for(canvas, run.seed)
    module, z = method.generator.build(canvas, rng).to(canvas.dtype), method.generator.draw(canvas, rng)
    solution = minimise(module, z, problem, stage, rng=_jitter(rng, canvas), deadline=deadline, callback=run.watch)
    if stage.stop is not None or stage.jitter == 0 or solution.ending == "diverged":
        return solution
    with torch.no_grad():
        return replace(solution, image=generate(module, z, stage.precision))


def _jitter(rng: torch.Generator, canvas: Tensor) -> torch.Generator:
    """Randomness of the jitter; on a GPU drawn there, for 32 channels of it are many numbers to carry."""
    if canvas.device.type == "cpu":
        return rng
    seed = int(torch.randint(2**62, (), generator=rng))
    return torch.Generator(canvas.device).manual_seed(seed)


def _at_factor(method: Method, factor: int) -> Method:
    """The same method with its reductions set to a factor."""
    parts = tuple(
        replace(part, term=replace(part.term, factor=factor)) if isinstance(part.term, LowResolution) else part
        for part in method.edit.objective.parts
    )
    return _of_parts(method, parts)


def _of_parts(method: Method, parts: tuple[WeightedTerm, ...]) -> Method:
    return replace(method, edit=replace(method.edit, objective=replace(method.edit.objective, parts=parts)))
