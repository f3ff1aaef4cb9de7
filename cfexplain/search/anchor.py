"""The anchor: the generator's reconstruction of the query, from which every edit starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from cfexplain.engine.executor import generate
from cfexplain.generators.noise import generator_for
from cfexplain.method.stage import Method, Stage
from cfexplain.method.stop import Step, psnr
from cfexplain.search.descend import Ending, Solution, Task, minimise_all
from cfexplain.types import Images, Problem


@dataclass(frozen=True, eq=False)
class Anchor:
    """A generator that reconstructs one query.

    Attributes:
        image: the reconstruction.
        module: the generator's network; an edit updates its parameters, so it serves one edit.
        z: its input.
        steps: taken to fit the query; 0 where the generator starts at it.
        ending: why the descent ended.
    """

    image: Images
    module: nn.Module
    z: Tensor
    steps: int
    ending: Ending


@dataclass(frozen=True, eq=False)
class AnchorTask:
    """What fitting the anchor of one query needs; the seed is that of the generator's noise and weights."""

    problem: Problem
    method: Method
    seed: int
    callback: Callable[[Step], object] | None = None

    def begin(self) -> Task:
        """The method's generator before it has seen the query."""
        query, generator = self.problem.query, self.method.generator
        rng = generator_for(query, self.seed)
        module = generator.build(query.cpu(), rng).to(query.dtype)  # the descent moves it to the query's device
        return Task(module, generator.draw(query, rng), self.problem, rng, callback=self.callback)


def fit_anchors(tasks: Sequence[AnchorTask], deadline: float = math.inf) -> list[Anchor]:
    """Fit each generator to its query: theta_0 = argmin |f_theta(z) - x|.

    A descent that its stop rule calls failed is repeated at half the learning rate, and the closer result is used.
    """
    begun = [task.begin() for task in tasks]
    stage = tasks[0].method.anchor if tasks else None
    if stage is None:
        return [Anchor(task.problem.query, task.module, task.z, 0, "exhausted") for task in begun]
    found = minimise_all(begun, stage, deadline=deadline)
    lost = [k for k, solution in enumerate(found) if _failed(solution, begun[k].problem, stage)]
    slower, again = replace(stage, learning_rate=stage.learning_rate / 2), [tasks[k].begin() for k in lost]
    for k, task, second in zip(lost, again, minimise_all(again, slower, deadline=deadline), strict=True):
        if _closer(second, found[k], task.problem.query):
            begun[k], found[k] = task, second
    return [_anchor(solution, task, stage) for solution, task in zip(found, begun, strict=True)]


def _failed(found: Solution, problem: Problem, stage: Stage) -> bool:
    """Whether a descent ran out of steps far from the query."""
    if stage.stop is None or found.ending != "exhausted":
        return False
    return stage.stop.failed(found.image, problem.query)


def _closer(second: Solution, first: Solution, query: Images) -> bool:
    """Whether the second attempt came closer to the query: its time may have been up before it had learned much."""
    return second.ending != "diverged" and psnr(second.image, query) > psnr(first.image, query)


def _anchor(found: Solution, task: Task, stage: Stage) -> Anchor:
    image = found.image
    if found.ending == "exhausted":  # the parameters were updated once more after the last output
        with torch.no_grad():
            image = generate(task.module, task.z, stage.precision)
    return Anchor(image, task.module, task.z, found.steps, found.ending)
