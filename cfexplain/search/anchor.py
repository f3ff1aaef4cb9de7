"""The anchor: a generator that has learned to paint the query, the point from which every edit departs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from cfexplain.engine.batch import DescentTask, minimise_all
from cfexplain.engine.cuda_graph import GraphedClassifier
from cfexplain.generators.noise import generator_for
from cfexplain.images import round8, write_whole
from cfexplain.method.stage import Method, Stage
from cfexplain.method.stop import CloseEnough, Step, psnr
from cfexplain.search.descend import Ending, Solution, paint
from cfexplain.types import Images, Problem

FORMAT = 3
LOST = 5.0
"""A painting that ends this many decibels below where it could stop is begun again at half the learning rate."""


@dataclass(frozen=True, eq=False)
class Anchor:
    """A painter of one query.

    Attributes:
        image: what it paints.
        module: the generator's network; an edit moves its parameters, so it serves one edit.
        z: its input.
        steps: taken to learn the query; 0 where the generator starts at it.
        ending: why the painting ended.
    """

    image: Images
    module: nn.Module
    z: Tensor
    steps: int
    ending: Ending


@dataclass(frozen=True, eq=False)
class AnchorTask:
    """All that painting an anchor needs: the query's problem, the method, and who watches.

    Attributes:
        problem: with the query, and the classifier where the anchor's objective reads it.
        method: its generator and its anchor stage.
        seed: of the generator's noise and weights.
        store: a folder in which painters are kept by content; the same query, classifier, generator, stage and
            seed are then learned once, for every target and every edit.
        watch: called with each step.
    """

    problem: Problem
    method: Method
    seed: int
    store: Path | None = None
    watch: Callable[[Step], object] | None = None

    def path(self, begun: DescentTask) -> Path | None:
        """Where the painter that begins so is kept."""
        return None if self.store is None else _path(self.store, self.problem, self.method, begun)

    def begin(self) -> DescentTask:
        """The method's generator, before it has seen the query."""
        rng, query = generator_for(self.problem.query, self.seed), self.problem.query
        module = self.method.generator.build(query.cpu(), rng).to(query.dtype)  # it goes to the query with the others
        z = self.method.generator.draw(query, rng)
        return DescentTask(module, z, self.problem, rng, watch=self.watch)


def paint_anchors(tasks: Sequence[AnchorTask], deadline: float = math.inf) -> list[Anchor]:
    """Let each method's generator learn its query, or take the painter from the store.

    Args:
        tasks: of one method, one classifier and one size.
        deadline: on the clock of `time.perf_counter()`, for all.
    """
    stage = tasks[0].method.anchor
    begun = [task.begin() for task in tasks]
    if stage is None:
        return [Anchor(s.problem.query, s.module, s.z, 0, "exhausted") for s in begun]
    paths = [task.path(search) for task, search in zip(tasks, begun, strict=True)]
    kept = [path is not None and path.exists() for path in paths]
    new = [k for k, old in enumerate(kept) if not old]
    first = minimise_all([begun[k] for k in new], stage, deadline=deadline)
    lost = [k for k, solution in zip(new, first, strict=True) if _lost(solution, begun[k].problem, stage)]
    found = dict(zip(new, first, strict=True))
    calmer, again = replace(stage, learning_rate=stage.learning_rate / 2), [tasks[k].begin() for k in lost]
    for k, search, second in zip(lost, again, minimise_all(again, calmer, deadline=deadline), strict=True):
        if _nearer(second, found[k], search.problem.query):
            begun[k], found[k] = search, second
    return [
        _learned(found[k], s, path, stage) if k in found else _read(path, s.module, s.z)  # type: ignore[arg-type]
        for k, (s, path) in enumerate(zip(begun, paths, strict=True))
    ]


def _lost(found: Solution, problem: Problem, stage: Stage) -> bool:
    """Whether a painter fell far back and ran out of steps: Adam's steps are too long for some seeds."""
    near = stage.stop
    if found.ending != "exhausted" or not isinstance(near, CloseEnough):
        return False
    return psnr(found.image, problem.query) < near.psnr - LOST


def _nearer(second: Solution, first: Solution, query: Images) -> bool:
    """Whether the second attempt came closer to the query: its time may have been up before it had learned much."""
    return second.ending != "diverged" and psnr(second.image, query) > psnr(first.image, query)


def _learned(found: Solution, search: DescentTask, path: Path | None, stage: Stage) -> Anchor:
    image = found.image
    if found.ending == "exhausted":  # the network has moved on by one step since its last painting
        with torch.no_grad():
            image = paint(search.module, search.z, stage)
    anchor = Anchor(image, search.module, search.z, found.steps, found.ending)
    if path is not None and found.ending in ("stopped", "exhausted"):
        _write(path, anchor)
    return anchor


def _path(store: Path, problem: Problem, method: Method, begun: DescentTask) -> Path | None:
    """Named by the digest of all that the painter depends on; None for a classifier whose weights cannot be read.

    The weights and the noise that it begins with stand for seed and generator.
    """
    digest = hashlib.sha256(f"{FORMAT}:{torch.__version__}:{method.generator}:{method.anchor}".encode())
    digest.update(f"{tuple(problem.query.shape)}:{problem.query.device.type}".encode())
    digest.update(round8(problem.query.cpu()).mul(255).byte().contiguous().numpy().tobytes())
    for value in (begun.z, *begun.module.state_dict().values()):
        digest.update(_bytes(value))
    if method.anchor is not None and method.anchor.objective.uses_classifier(0):
        network = getattr(problem.classifier, "module", problem.classifier)
        if not isinstance(network, nn.Module):
            return None
        for name, value in network.state_dict().items():
            digest.update(name.encode())
            digest.update(_bytes(value))
        digest.update(_described(problem.classifier).encode())
    return store / f"{digest.hexdigest()[:32]}.safetensors"


def _described(classifier: object) -> str:
    """What else of a classifier its features depend on, such as taps and normalisation of a wrapped network."""
    if isinstance(classifier, GraphedClassifier):
        return _described(classifier.classifier)
    if classifier is None or isinstance(classifier, nn.Module):
        return type(classifier).__name__
    own = getattr(classifier, "__dict__", {})
    plain = {name: own[name] for name in sorted(own) if isinstance(own[name], str | int | float | tuple)}
    return f"{type(classifier).__name__}{plain}:{_described(own.get('classifier'))}"


def _bytes(value: Tensor) -> bytes:
    content: bytes = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return content


def _write(path: Path, anchor: Anchor) -> None:
    from safetensors.torch import save as pack

    state = {f"module.{k}": v.detach().cpu().contiguous() for k, v in anchor.module.state_dict().items()}
    facts = {"steps": str(anchor.steps), "ending": anchor.ending}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, pack(state | {"image": anchor.image.detach().cpu().contiguous()}, facts))


def _read(path: Path, module: nn.Module, z: Tensor) -> Anchor:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    module.load_state_dict({k[7:]: v for k, v in tensors.items() if k.startswith("module.")})
    return Anchor(tensors["image"].to(z.device), module.to(z.device), z, int(facts["steps"]), facts["ending"])
