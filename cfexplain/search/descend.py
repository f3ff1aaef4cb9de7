"""The loop behind every method: theta <- Adam(grad_theta sum_k w_k L_k(f_theta(z)))."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from cfexplain.engine.executor import Executor
from cfexplain.method.stage import Stage
from cfexplain.method.stop import Step, StepMetrics
from cfexplain.types import Candidate, Images, Prediction, Problem, join_problems

Ending = Literal["stopped", "exhausted", "out_of_time", "diverged"]


@dataclass(frozen=True, eq=False)
class Task:
    """The descent of one image.

    Attributes:
        module: its network; the parameters are updated in place.
        z: the network's input.
        problem: what is asked.
        rng: of jitter and views; needed only with these.
        anchor: the generator's output that an edit starts from.
        score: larger is better; the latest of the best iterates is kept. None keeps the last iterate.
        callback: called with each step, for progress bars.
    """

    module: nn.Module
    z: Tensor
    problem: Problem
    rng: torch.Generator | None = None
    anchor: Images | None = None
    score: Callable[[StepMetrics], float] | None = None
    callback: Callable[[Step], object] | None = None


@dataclass(frozen=True, eq=False)
class Solution:
    """Where a descent ended.

    Attributes:
        image: the best iterate (the last, without a score), the mean of the last ones (`Stage.averaged`), or what the
            stop rule chose; detached.
        prediction: of that image, where it is a single iterate and was predicted.
        steps: taken.
        ending: why it ended.
        history: one row a step: objective, and target probability and estimated loss where known.
        best: beside a mean, the best single iterate: a mean lags behind, and may miss the target that it has reached.
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
    rng: torch.Generator | None = None,
    anchor: Images | None = None,
    transfer: bool = False,
) -> Iterator[Step]:
    """Run a stage for one image step by step; progress bars, logs and stop rules are a `for` away.

    Each step is yielded before the parameters are updated, so after a `break` the network still generates the image of
    the last step seen. Only the network's parameters are updated; the classifier is left as it was.

    Args:
        module: f_theta.
        z: its input.
        problem: what is asked.
        stage: what is minimised, and how.
        rng: of jitter and views; needed only with these.
        anchor: the output that an edit starts from; outside of the region the image is exactly this.
        transfer: let the terms see query + (output - anchor) instead of the output.

    Yields:
        A `Step` for each of the stage's steps, those of its continuation included.
    """
    rngs = () if rng is None else (rng,)
    return steps(Executor([module], [z], problem, stage, rngs=rngs, anchor=anchor), stage, transfer=transfer)


def steps(executor: Executor, stage: Stage, *, transfer: bool = False) -> Iterator[Step]:
    """The loop, for the one or many images of an executor: theta <- Adam(grad_theta sum_k w_k L_k(f_theta(z)))."""
    for index in range(stage.most):
        output = _restricted(executor.generate(), executor.problem, executor.anchor)
        image, reference = output, executor.anchor
        if transfer and executor.anchor is not None:
            reference = executor.problem.query
            image = (reference + (output - executor.anchor)).clamp(0, 1)  # residual transfer keeps texture
        predicted = executor.problem.classifier is not None and stage.objective.uses_classifier(index)
        prediction, views = executor.predict(image) if predicted else (None, None)
        candidate = Candidate(image, executor.problem, prediction, reference, stage.progress(index), views)
        value = stage.objective(candidate, index)
        yield executor.record(index, output, prediction, views, value)
        executor.update(value, index)


def minimise(
    module: nn.Module,
    z: Tensor,
    problem: Problem,
    stage: Stage,
    *,
    rng: torch.Generator | None = None,
    anchor: Images | None = None,
    transfer: bool = False,
    score: Callable[[StepMetrics], float] | None = None,
    deadline: float = math.inf,
    callback: Callable[[Step], object] | None = None,
) -> Solution:
    """Run a stage for one image to its end, its stop rule, the deadline, or the first value that is not finite.

    The arguments are those of `descend` and the fields of `Task`; `deadline` is on the clock of `time.perf_counter()`.
    """
    task = Task(module, z, problem, rng, anchor, score, callback)
    return minimise_all([task], stage, transfer=transfer, deadline=deadline)[0]


def minimise_all(
    tasks: Sequence[Task], stage: Stage, *, transfer: bool = False, deadline: float = math.inf
) -> list[Solution]:
    """Run a stage for many images in one loop; each ends as it would end alone.

    An image that is done leaves the batch. Results agree with those of single images up to rounding, which Adam
    amplifies over the steps. The tasks are of one classifier, size and kind of generator, all or none with anchors.
    """
    if not tasks:
        return []
    executor = _executor(tasks, stage)
    running = {k: BestIterate(task, stage) for k, task in enumerate(tasks)}
    solutions: dict[int, Solution] = {}

    def finish(place: int, ending: Ending) -> None:
        index = executor.active[place]
        solutions[index] = running.pop(index).solution(ending)
        executor.finish(place)

    for step in steps(executor, stage, transfer=transfer):
        late: Ending | None = "out_of_time" if time.perf_counter() >= deadline else None
        for place, index in enumerate(executor.active):
            if index in running:
                ending = running[index].see(step.at(place)) or late
                if ending is not None:
                    finish(place, ending)
        if not running:
            break
        places = [place for place, index in enumerate(executor.active) if index in running]
        executor.keep(places, stage.expected(step.index + 1) - step.index - 1)
    for place, index in enumerate(executor.active):
        if index in running:
            finish(place, "exhausted")
    executor.close()
    return [solutions[k] for k in range(len(tasks))]


class BestIterate:
    """Keeps the best iterate and the history of one image, and says when its descent ends."""

    def __init__(self, task: Task, stage: Stage) -> None:
        self.task, self.stage = task, stage
        self.monitor = None if stage.stop is None else stage.stop.start(task.problem)
        self.kept: Step | None = None
        self.best, self.reached = -math.inf, 0
        self.history: list[dict[str, float]] = []
        self.last: deque[Images] = deque(maxlen=math.ceil(stage.averaged * stage.steps))

    def see(self, step: Step) -> Ending | None:
        """Note a step; says why the descent ends here, or None where it goes on."""
        metrics = step.metrics[0]
        if not math.isfinite(metrics.objective):
            return "diverged"
        self.history.append(metrics.row())
        self._keep(step)
        if self.task.callback is not None:
            self.task.callback(step)
        if self.stage.continuation is not None:
            self.reached += metrics.reaches(self.stage.continuation.until)
        if self.monitor is not None and self.monitor(step):
            return "stopped"
        return "exhausted" if self._reached_target(step.index + 1) else None

    def solution(self, ending: Ending) -> Solution:
        """Where the descent ended."""
        count = len(self.history)
        if self.kept is None:
            problem = self.task.problem
            return Solution(problem.query, problem.source, count, "diverged", self.history)
        chosen = None if self.monitor is None else self.monitor.chosen()
        if chosen is not None:
            return Solution(chosen, None, count, ending, self.history)
        if self.stage.averaged:
            return Solution(self._mean(), None, count, ending, self.history, self.kept.image)
        return Solution(self.kept.image.clone(), self.kept.prediction, count, ending, self.history)

    def _keep(self, step: Step) -> None:
        if self.last.maxlen:
            self.last.append(step.image)
        if self.task.score is None:
            self.kept = step
            return
        score = self.task.score(step.metrics[0])
        if self.kept is None or score >= self.best:
            self.kept, self.best = step.copy(), score

    def _reached_target(self, steps: int) -> bool:
        """Whether the target is reached after so many steps, so that no continuation is needed."""
        continuation = self.stage.continuation
        if continuation is None or steps < self.stage.steps:
            return False
        return self.reached >= (1 if steps == self.stage.steps else continuation.patience)

    def _mean(self) -> Images:
        """Mean of the last iterates, as the latest plus the mean difference to it, so that what is equal stays so."""
        count = max(1, round(self.stage.averaged * len(self.history)))
        latest = self.last[-1]
        return latest + (torch.stack(list(self.last)[-count:]) - latest).mean(0)


def _executor(tasks: Sequence[Task], stage: Stage) -> Executor:
    anchors = [task.anchor for task in tasks if task.anchor is not None]
    return Executor(
        [task.module for task in tasks],
        [task.z for task in tasks],
        join_problems([task.problem for task in tasks]),
        stage,
        rngs=[task.rng for task in tasks if task.rng is not None],
        anchor=None if not anchors else anchors[0] if len(anchors) == 1 else torch.cat(anchors),
    )


def _restricted(output: Images, problem: Problem, anchor: Images | None) -> Images:
    """The output inside of the region, the anchor outside."""
    if anchor is None or problem.region is None:
        return output
    return anchor + problem.region * (output - anchor)
