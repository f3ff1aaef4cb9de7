"""The one loop behind every method: paint, ask, move the painter."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from cfexplain.engine.cuda_graph import CudaGraph
from cfexplain.engine.stack import select
from cfexplain.generators.langevin import SGLDNoise
from cfexplain.method.stage import Stage
from cfexplain.method.stop import Chooser, ImageStep, Step, known, metrics_coming, reaches
from cfexplain.method.views import Randomness, Stream, split
from cfexplain.types import Candidate, Classifier, Images, Prediction, Problem

Ending = Literal["stopped", "exhausted", "out_of_time", "diverged"]


@dataclass(frozen=True, eq=False)
class Solution:
    """Where a descent ended.

    Attributes:
        image: the best painting seen (the last, without a measure of better), the mean of the last ones (`averaged`),
            or what the stop rule hands over; cut from the graph.
        best: beside a mean, the best single painting: a mean lags behind, and may miss what that has reached.
        prediction: of that image, where it was asked for and is one painting.
        steps: taken.
        ending: why it ended.
        history: one row a step: objective, and probability of the target and estimated loss where known.
    """

    image: Images
    prediction: Prediction | None
    steps: int
    ending: Ending
    history: list[dict[str, float]] = field(default_factory=list)
    best: Images | None = None


def descend(
    module: nn.Module,
    z: Tensor,
    problem: Problem,
    stage: Stage,
    *,
    rng: Randomness | None = None,
    anchor: Images | None = None,
    transfer: bool = False,
) -> Generator[Step, list[int] | None]:
    """Run a stage step by step; progress bars, logs and stop rules are a `for` away.

    Each step is handed out before the parameters move, so when the caller breaks off, the module still paints
    the image of the last step seen. Only the module's parameters are moved; the classifier is left as it was.

    Args:
        module: paints from z.
        z: the generator's input.
        problem: what is asked.
        stage: what is minimised and how.
        rng: of jitter and views, one or one an image; needed only with these.
        anchor: the painting that the edit departs from; the region's outside is kept at it exactly.
        transfer: let the terms judge query + (painting - anchor), against the query, instead of the painting.

    Yields:
        A `Step` for each of the stage's steps, further ones included. A `Stack` takes, by `send`, the places of the
        images that go on.
    """
    moved = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(moved, lr=stage.learning_rate, fused=True)
    locks = _locks(module, stage)
    painter, views = _painting(module, stage), _stream(problem, stage, rng)
    for index in range(stage.most):
        jittered = z if stage.jitter == 0 else z + stage.jitter * _noise(z, rng)
        painted = _within_region(painter(jittered), problem, anchor)
        image, reference = painted, anchor
        if transfer and anchor is not None:
            image, reference = (problem.query + (painted - anchor)).clamp(0, 1), problem.query
        asked = problem.classifier is not None and stage.objective.uses_classifier(index)
        prediction, seen = _predict(problem.classifier, image, views) if asked else (None, None)
        candidate = Candidate(image, problem, prediction, reference, stage.progress(index), seen)
        value = stage.objective(candidate, index)
        step = Step(index, _kept(painted), _cut(prediction), value.detach(), _cut(seen))
        metrics, parameters = metrics_coming(step, problem), optimizer.param_groups[0]["params"]
        ahead = torch.autograd.grad(value.sum(), parameters, allow_unused=True) if z.is_cuda else None
        going = yield replace(step, metrics=metrics())
        gradients = ahead or torch.autograd.grad(value.sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = _laid_out(gradient, parameter) if locks.get(parameter, 0) <= index else None
        optimizer.step()
        if going is not None:
            if len(going) == 0:
                return
            select(module, optimizer, going)
            z, problem, anchor = z[going], problem.at(going), None if anchor is None else anchor[going]
            rng = [rng[k] for k in going] if isinstance(rng, Sequence) else rng
            locks, painter = _locks(module, stage), _painting(module, stage)
            if views is not None:
                views.keep(going)


def _painting(module: nn.Module, stage: Stage) -> Callable[[Tensor], Images]:
    """The painter at a stage's precision; one whose hand is unsteady cannot be recorded, for it draws."""
    painting = _Painting(module, stage)
    return painting if isinstance(module, SGLDNoise) else CudaGraph(painting, rough=True)


class _Painting(nn.Module):
    """A painter at a stage's precision."""

    def __init__(self, module: nn.Module, stage: Stage) -> None:
        super().__init__()
        self.module, self.stage = module, stage

    def forward(self, z: Tensor) -> Images:
        """Paint."""
        return paint(self.module, z, self.stage)


class BestIterate:
    """The bookkeeping of one image's descent: its best step, its history, whether it has ended."""

    def __init__(
        self,
        problem: Problem,
        stage: Stage,
        better: Callable[[Step], float] | None = None,
        watch: Callable[[Step], object] | None = None,
    ) -> None:
        self.problem, self.better, self.watch = problem, better, watch
        self.stopped = stage.stop.start(problem) if stage.stop is not None else None
        self.kept: Step | None = None
        self.best = -math.inf
        self.history: list[dict[str, float]] = []
        self.stage, self.reached = stage, 0
        self.last: deque[Images] = deque(maxlen=math.ceil(stage.averaged * stage.steps))

    def see(self, step: Step) -> Ending | None:
        """Take note of a step; says why the descent ends here, or None where it goes on."""
        row = _row(step, self.problem)
        if not math.isfinite(row["objective"]):
            return "diverged"
        score = 0.0 if self.better is None else self.better(step)
        if self.kept is None or score >= self.best:
            self.kept, self.best = step if self.better is None else _own(step), score
        self.history.append(row)
        if self.last.maxlen:
            self.last.append(step.image)
        if self.watch is not None:
            self.watch(step)
        continuation = self.stage.continuation
        if continuation is not None:
            self.reached += reaches(step, self.problem, continuation.until)
        if self.stopped is not None and self.stopped(step):
            return "stopped"
        return "exhausted" if self._spared(step.index + 1) else None

    def _spared(self, steps: int) -> bool:
        """Whether an image that has taken so many steps needs no further ones."""
        continuation = self.stage.continuation
        if continuation is None or steps < self.stage.steps:
            return False
        return self.reached >= (1 if steps == self.stage.steps else continuation.patience)

    def solution(self, ending: Ending) -> Solution:
        """Where the descent ended."""
        if self.kept is None:
            return Solution(self.problem.query, self.problem.source, len(self.history), "diverged", self.history)
        if isinstance(self.stopped, Chooser):
            return Solution(self.stopped.chosen(), None, len(self.history), ending, self.history)
        if self.stage.averaged:
            count = max(1, round(self.stage.averaged * len(self.history)))
            latest = self.last[-1]  # so that what is equal stays so, bit by bit
            mean = latest + (torch.stack(list(self.last)[-count:]) - latest).mean(0)
            return Solution(mean, None, len(self.history), ending, self.history, self.kept.image)
        kept = _own(self.kept)
        return Solution(kept.image, kept.prediction, len(self.history), ending, self.history)


def minimise(
    module: nn.Module,
    z: Tensor,
    problem: Problem,
    stage: Stage,
    *,
    rng: torch.Generator | None = None,
    anchor: Images | None = None,
    transfer: bool = False,
    better: Callable[[Step], float] | None = None,
    deadline: float = math.inf,
    watch: Callable[[Step], object] | None = None,
) -> Solution:
    """Run a stage to its end, its stop rule, the deadline, or the first value that is not finite.

    Args:
        module: paints from z.
        z: the generator's input.
        problem: what is asked.
        stage: what is minimised and how.
        rng: of jitter and views.
        anchor: the painting that the edit departs from.
        transfer: see `descend`.
        better: larger is better; the latest of the best steps is kept. None keeps the last step.
        deadline: on the clock of `time.perf_counter()`.
        watch: called with each step, for progress bars.

    Returns:
        The kept step and how the stage ended.
    """
    watched = BestIterate(problem, stage, better, watch)
    for step in descend(module, z, problem, stage, rng=rng, anchor=anchor, transfer=transfer):
        ended = watched.see(step)
        if ended is not None:
            return watched.solution(ended)
        if time.perf_counter() >= deadline:
            return watched.solution("out_of_time")
    return watched.solution("exhausted")


def paint(module: nn.Module, z: Tensor, stage: Stage) -> Images:
    """What the painter makes of z, computed in the stage's precision."""
    with torch.autocast(z.device.type, torch.bfloat16, enabled=stage.precision == "bfloat16"):
        image: Images = module(z)
    return image.to(z.dtype)


def _laid_out(gradient: Tensor | None, parameter: nn.Parameter) -> Tensor | None:
    """In the parameter's memory layout: fused Adam walks both as they lie, and would mix up their elements."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _noise(z: Tensor, rng: Randomness | None) -> Tensor:
    if isinstance(rng, Sequence):
        return torch.stack([_normal(own.shape, each) for own, each in zip(z, rng, strict=True)]).to(z)
    return _normal(z.shape, rng).to(z)


def _normal(shape: torch.Size, rng: torch.Generator | None) -> Tensor:
    """Drawn where the generator is."""
    return torch.randn(shape, generator=rng, device="cpu" if rng is None else rng.device)


def _locks(module: nn.Module, stage: Stage) -> dict[nn.Parameter, int]:
    """The step from which each parameter moves: the coarsest layers from 0, the finest after `unlock` of the steps."""
    ordered: Callable[[], list[list[nn.Parameter]]] | None = getattr(module, "coarse_to_fine", None)
    if stage.unlock == 0 or ordered is None:
        return {}
    groups = ordered()
    last = stage.unlock * stage.steps / max(1, len(groups) - 1)
    return {parameter: round(k * last) for k, group in enumerate(groups) for parameter in group}


def _stream(problem: Problem, stage: Stage, rng: Randomness | None) -> Stream | None:
    """Of the stage's views, where there is a classifier to see them."""
    if stage.views is None or problem.classifier is None:
        return None
    if rng is None:
        raise ValueError("views need a random generator: give descend an rng")
    return Stream(stage.views, rng)


def _predict(
    classifier: Classifier | None, image: Images, views: Stream | None
) -> tuple[Prediction | None, Prediction | None]:
    """Prediction of the image, and of its views: one pass for all."""
    if classifier is None or views is None:
        return None if classifier is None else classifier(image), None
    return split(classifier(torch.cat([image, views.draw(image)])), len(image))


def _kept(painted: Images) -> Images:
    """The painting without its graph; on a GPU a copy, for the next step is painted in the same place (`CudaGraph`)."""
    return painted.detach().clone() if painted.is_cuda else painted.detach()


def _cut(prediction: Prediction | None) -> Prediction | None:
    """Likewise; of features nothing is kept there."""
    if prediction is None or not prediction.logits.is_cuda:
        return None if prediction is None else prediction.detach()
    loss = None if prediction.loss is None else prediction.loss.detach().clone()
    return Prediction(prediction.logits.detach().clone(), (), loss)


def _within_region(image: Images, problem: Problem, anchor: Images | None) -> Images:
    if anchor is None or problem.region is None:
        return image
    return anchor + problem.region * (image - anchor)


def _row(step: Step, problem: Problem) -> dict[str, float]:
    """The worst of each fact, and the objective of all."""
    metrics = known(step, problem)
    row = {"objective": sum(each.objective for each in metrics)}
    if metrics[0].target_probability is not None:
        row["target_probability"] = min(each.target_probability or 0.0 for each in metrics)
        if metrics[0].estimated_loss is not None:
            row["estimated_loss"] = max(each.estimated_loss or 0.0 for each in metrics)
    return row


def _own(step: Step) -> Step:
    return step.own() if isinstance(step, ImageStep) else step
