"""When to stop: rules that watch the steps of a search."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Images, Prediction, Problem


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a search, as it stands before the parameters move on.

    Attributes:
        index: counted from 0.
        image: the painting, shape (n, 3, h, w), cut from the graph.
        prediction: of the image that the terms judge, where one of this step asked for it.
        views: of random views of it, where the stage has some.
        value: of the objective, shape (n,).
    """

    index: int
    image: Images
    prediction: Prediction | None
    value: Float[Tensor, " n"]
    views: Prediction | None = None


Watch = Callable[[Step], bool]


class StopRule(Protocol):
    """A recipe for a watch: `start(problem)` gives a function that says of each step whether to stop there."""

    def start(self, problem: Problem) -> Watch:
        """Begin to watch one search."""
        ...


@runtime_checkable
class Chooser(Protocol):
    """A watch that also says which image is handed over, in place of the last or the best painting."""

    def __call__(self, step: Step, /) -> bool:
        """Whether to stop at this step."""
        ...

    def chosen(self) -> Images:
        """The image of this rule, after at least one step."""
        ...


@dataclass(frozen=True)
class TargetReached:
    """Stop when the target class has had this probability in `patience` steps, counted from the first.

    Between them the other terms draw the change back, and the smallest change that holds is kept (`better`).

    Attributes:
        confidence: probability of the target class.
        patience: steps.

    Source: ours.
    """

    confidence: float = 0.9
    patience: int = 20

    def start(self, problem: Problem) -> Watch:
        """Count the steps that reach the confidence."""
        count = 0

        def watch(step: Step) -> bool:
            nonlocal count
            count += target_probability(step, problem) >= self.confidence
            return count >= self.patience

        return watch

    def better(self, step: Step, problem: Problem) -> float:
        """A score of steps: the probability below the confidence, above it 1 and more for a smaller objective."""
        probability = target_probability(step, problem)
        return probability if probability < self.confidence else 1 + 1 / (1 + max(0.0, float(step.value.sum())))


@dataclass(frozen=True)
class CloseEnough:
    """Stop when the painting is within `psnr` decibels of the query, 10 log10(1 / mean squared difference).

    Attributes:
        psnr: decibels.
        patience: steps in a row.
        least: steps to take in any case: a painter that has just begun moves wildly when it is edited.

    Source: ours.
    """

    psnr: float = 32.0
    patience: int = 3
    least: int = 0

    def start(self, problem: Problem) -> Watch:
        """Compare each painting with the query."""
        count = 0

        def watch(step: Step) -> bool:
            nonlocal count
            count = count + 1 if psnr(step.image, problem.query) >= self.psnr else 0
            return count >= self.patience and step.index + 1 >= self.least

        return watch


def psnr(image: Images, reference: Images) -> float:
    """Peak signal-to-noise ratio in decibels for intensities in [0, 1]; infinite for equal images.

    Example:
        >>> import torch
        >>> round(psnr(torch.full((1, 3, 2, 2), 0.6), torch.full((1, 3, 2, 2), 0.5)), 3)
        20.0
    """
    error = float((image - reference).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def target_probability(step: Step, problem: Problem) -> float:
    """Probability of the target class, of the image or on average over its views, whichever is smaller.

    The smallest in the batch; 0 where there is no prediction.
    """
    if step.prediction is None or problem.target is None:
        return 0.0
    target = problem.target[:, None]
    of_image = step.prediction.probabilities.gather(1, target).squeeze(1)
    if step.views is None:
        return float(of_image.min())
    seen = step.views.probabilities.gather(1, target.repeat(len(step.views.logits) // len(target), 1))
    return float(torch.minimum(of_image, seen.view(-1, len(target)).mean(0)).min())
