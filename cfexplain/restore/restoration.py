"""Restoration by an untrained network, which fits the image first and the damage last.

Every task takes a method, such as those of `PRESETS`, and a `Run`. Images are refused with a TypeError or ValueError if
their type, shape or range is wrong.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.engine.executor import generate
from cfexplain.generators.noise import generator_for
from cfexplain.images import check_images
from cfexplain.method.objective import Term
from cfexplain.method.stage import Method
from cfexplain.method.stop import Step, decibels
from cfexplain.restore.preset import DEJPEG, DENOISE, FLASH, INPAINT, SUPERRESOLVE_4, SUPERRESOLVE_8
from cfexplain.restore.rule import HeldOut
from cfexplain.search.descend import Ending, Solution, minimise
from cfexplain.terms import KnownPixels, LowResolution, SamePixels
from cfexplain.terms.low_resolution import upsample
from cfexplain.types import Candidate, Problem

AnyImages = Float[Tensor, "n c h w"]  # Grey (c = 1) or RGB (c = 3) images with values in [0, 1].


@dataclass(frozen=True, eq=False)
class Restoration:
    """Restored images.

    Attributes:
        image: the restored images, shape (n, c, h, w).
        painted: the network's output; `image` differs from it where a mask says that a pixel is known.
        method: its name.
        steps: of the last run, by image.
        ending: why the last run ended, by image.
        seconds: in total.
        history: -10 log10 of the objective at each step of the last image's last run; if the objective is the data
            term alone, this is the PSNR between output and input.
        decibels: PSNR between `painted` and the input, by image; of the known pixels, or of the reduced output.
    """

    image: AnyImages
    painted: AnyImages
    method: str
    steps: tuple[int, ...]
    ending: tuple[Ending, ...]
    seconds: float
    history: tuple[float, ...]
    decibels: tuple[float, ...] = ()


@dataclass(frozen=True)
class Run:
    """How a restoration is run.

    Attributes:
        seed: of noise and weights.
        runs: number of runs whose outputs are averaged; the source's best numbers average two.
        budget: seconds in total, after which the best so far is returned.
        watch: called with each step.
    """

    seed: int = 0
    runs: int = 1
    budget: float = math.inf
    watch: Callable[[Step], object] | None = None


ONCE = Run()


def denoise(images: AnyImages, *, method: Method = DENOISE, run: Run = ONCE) -> Restoration:
    """Remove noise: x* = f(z), f = argmin |f(z) - x|^2, stopped or averaged before the noise is learned.

    Source: Ulyanov et al. 2018, equation 3.

    Example:
        >>> from cfexplain.restore import DENOISE, fast
        >>> quick = fast(DENOISE, widths=(4, 4), share=0.001)
        >>> denoise(torch.rand(1, 3, 20, 30), method=quick).image.shape
        torch.Size([1, 3, 20, 30])
    """
    _check(images)
    return _restore([(x, Problem(x)) for x in images.split(1)], method, run)


def dejpeg(images: AnyImages, *, method: Method = DEJPEG, run: Run = ONCE) -> Restoration:
    """Remove JPEG blocks and ringing, as `denoise` removes noise (Ulyanov et al. 2018, figure 5).

    Raises:
        ValueError: the method holds pixels out, which does not help against damage that neighbours share.
    """
    if isinstance(method.edit.stop, HeldOut):
        raise ValueError("holding pixels out is for noise: what JPEG did to a pixel, its neighbours tell")
    return denoise(images, method=method, run=run)


def inpaint(
    images: AnyImages, missing: Float[Tensor, "n 1 h w"], *, method: Method = INPAINT, run: Run = ONCE
) -> Restoration:
    """Fill in missing pixels: f = argmin |(f(z) - x) (1 - missing)|^2; known pixels keep their values.

    Args:
        images: values under the mask do not matter.
        missing: 1 where a pixel is missing, 0 where it is known, shape (n, 1, h, w) or (n, c, h, w).
        method: `INPAINT` for text and scratches, or inpaint-half, inpaint-hole, inpaint-large, ... of `PRESETS`.
        run: see `Run`.

    Raises:
        ValueError: a mask has another size, or no pixel is known.

    Source: Ulyanov et al. 2018, equation 5. That known pixels are kept: ours, see `Restoration.painted`.
    """
    _check(images)
    if missing.shape[0] != len(images) or missing.shape[-2:] != images.shape[-2:] or missing.ndim != 4:
        raise ValueError(f"the mask must be of the picture's size, {_size(images)}, and is of {_size(missing)}")
    if bool((missing.flatten(1) > 0.5).all(1).any()):
        raise ValueError("everything is missing: the mask is 1 where a pixel is to be painted and 0 where it is known")
    holes = (missing > 0.5).to(images)
    pairs = zip((images * (1 - holes)).split(1), holes.split(1), strict=True)
    found = _restore([(x, Problem(x, region=hole)) for x, hole in pairs], method, run)
    return replace(found, image=torch.where(holes.bool(), found.painted, images))


def superresolve(images: AnyImages, factor: int = 4, *, method: Method | None = None, run: Run = ONCE) -> Restoration:
    """Enlarge: f = argmin |d(f(z)) - x|^2 with d the reduction by `factor`.

    Args:
        images: small images.
        factor: on each side, at least 2, also of the method's data term. 4 and 8 have published settings.
        method: None is `SUPERRESOLVE_4` up to factor 4 and `SUPERRESOLVE_8` beyond.
        run: see `Run`.

    Source: Ulyanov et al. 2018, equation 4.
    """
    _check(images)
    if factor < 2:
        raise ValueError(f"factor is 2 or more, got {factor}")
    published = SUPERRESOLVE_8 if factor > 4 else SUPERRESOLVE_4
    method = _with_term(method or published, LowResolution, LowResolution(factor))
    return _restore([(upsample(x, factor), Problem(x)) for x in images.split(1)], method, run)


def flash(
    images: AnyImages, guides: Float[Tensor, "n 3 h w"], *, method: Method = FLASH, run: Run = ONCE
) -> Restoration:
    """Restore a dark, noisy photograph with one taken with flash as the network's input z.

    Args:
        images: without flash.
        guides: the same scenes with flash, the same size.
        method: see `PRESETS`.
        run: see `Run`. If the output stays reddish, try another seed (the source's advice).

    Raises:
        ValueError: the photographs differ in size.

    Source: Ulyanov et al. 2018, figure 9, and the released notebook.
    """
    _check(images)
    _check(guides)
    if guides.shape[-2:] != images.shape[-2:] or len(guides) != len(images):
        raise ValueError(f"photographs with and without flash differ in size: {_size(guides)} and {_size(images)}")
    if guides.shape[1] != images.shape[1]:
        guides = guides.mean(1, keepdim=True).expand(-1, images.shape[1], -1, -1)
    return _restore([(g, Problem(x)) for x, g in zip(images.split(1), guides.split(1), strict=True)], method, run)


def _check(images: Tensor) -> None:
    check_images(images, channels=(1, 3))
    if min(images.shape[-2:]) < 4:
        raise ValueError(f"images must have at least 4 pixels a side, got {tuple(images.shape[-2:])}")


def _restore(tasks: Sequence[tuple[Tensor, Problem]], method: Method, run: Run) -> Restoration:
    """Fit each problem; the tensor beside it has the output's size, and is the input z of a guided network."""
    started, outputs, last = time.perf_counter(), [], []
    for k, (template, problem) in enumerate(tasks):
        ends = [started + run.budget * (k + (r + 1) / run.runs) / len(tasks) for r in range(run.runs)]
        found = [_fit(template, problem, method, replace(run, seed=run.seed + r), end) for r, end in enumerate(ends)]
        outputs.append(torch.stack([solution.image for solution in found]).mean(0))
        last.append(found[-1])
    data = method.edit.objective.parts[0].term
    errors = [float(data(Candidate(x, problem)).mean()) for x, (_, problem) in zip(outputs, tasks, strict=True)]
    image = torch.cat(outputs)
    return Restoration(
        image=image,
        painted=image,
        method=method.name,
        steps=tuple(solution.steps for solution in last),
        ending=tuple(solution.ending for solution in last),
        seconds=time.perf_counter() - started,
        history=tuple(decibels(row["objective"]) for row in last[-1].history),
        decibels=tuple(decibels(error) for error in errors),
    )


def _fit(template: Tensor, problem: Problem, method: Method, run: Run, deadline: float) -> Solution:
    """One run on one image. Without a stop rule the last output is generated again without jitter, as in the source."""
    if isinstance(method.edit.stop, HeldOut):
        pixels = method.edit.stop.pixels(problem.query, run.seed)
        if template is problem.query:  # a network that starts at the image must not see them either
            template = torch.where(pixels.bool(), template.mean((2, 3), keepdim=True), template)
        method, problem = _holding_out(method, problem), replace(problem, region=pixels)
    stage, rng = method.edit, generator_for(template, run.seed)
    module, z = method.generator.build(template, rng).to(template.dtype), method.generator.draw(template, rng)
    if template.device.type != "cpu":  # the jitter of 32 channels is too many numbers to copy at each step
        rng = torch.Generator(template.device).manual_seed(int(torch.randint(2**62, (), generator=rng)))
    solution = minimise(module, z, problem, stage, rng=rng, deadline=deadline, callback=run.watch)
    if stage.stop is not None or stage.jitter == 0 or solution.ending == "diverged":
        return solution
    with torch.no_grad():
        return replace(solution, image=generate(module, z, stage.precision))


def _holding_out(method: Method, problem: Problem) -> Method:
    """The method with a data term that reads only the pixels outside of the problem's region."""
    if problem.region is not None or not any(isinstance(p.term, SamePixels) for p in method.edit.objective.parts):
        raise ValueError(f"{method.name} cannot hold pixels out here: that is for noise, where every pixel is known")
    return _with_term(method, SamePixels, KnownPixels())


def _with_term(method: Method, old: type[Term], new: Term) -> Method:
    objective = method.edit.objective
    parts = tuple(replace(part, term=new) if isinstance(part.term, old) else part for part in objective.parts)
    return replace(method, edit=replace(method.edit, objective=replace(objective, parts=parts)))


def _size(images: Tensor) -> str:
    return f"{len(images)} of {images.shape[-1]}x{images.shape[-2]} pixels"
