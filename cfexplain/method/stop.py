"""Stop rules: when a descent ends, and which of its iterates is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Images, Prediction, Problem


@dataclass(frozen=True)
class StepMetrics:
    """What stop rules and histories read of one image at one step, as plain numbers.

    Attributes:
        objective: its value.
        error: mean squared difference of the generator's output to the query; None where they differ in size.
        target_probability: the smaller of the image's probability and the mean over its views; None without a target.
        estimated_loss: of the image; None without a loss estimator.
        flipped: whether the image itself is predicted as the target; None without a target.
    """

    objective: float
    error: float | None = None
    target_probability: float | None = None
    estimated_loss: float | None = None
    flipped: bool | None = None

    def reaches(self, confidence: float) -> bool:
        """Whether the image is predicted as the target with this probability (see `target_probability`)."""
        return bool(self.flipped) and (self.target_probability or 0.0) >= confidence

    def row(self) -> dict[str, float]:
        """The numbers that a history keeps."""
        row = {"objective": self.objective}
        if self.target_probability is not None:
            row["target_probability"] = self.target_probability
            if self.estimated_loss is not None:
                row["estimated_loss"] = self.estimated_loss
        return row


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a descent, before the parameters are updated.

    Attributes:
        index: counted from 0.
        image: output of the generator, shape (n, 3, h, w), detached.
        prediction: of the image that the terms see, where one of this step's terms reads it.
        value: of the objective, shape (n,).
        views: prediction of random views of that image, shape (count * n, ...), where the stage has some.
        metrics: of each image.
    """

    index: int
    image: Images
    prediction: Prediction | None
    value: Float[Tensor, " n"]
    views: Prediction | None = None
    metrics: tuple[StepMetrics, ...] = ()

    def at(self, place: int) -> Step:
        """The step of one image of a batch, as views of the batch's memory and without features."""
        here, own_views = slice(place, place + 1), slice(place, None, len(self.image))
        prediction = None if self.prediction is None else self.prediction.without_features().at(here)
        views = None if self.views is None else self.views.without_features().at(own_views)
        return Step(self.index, self.image[here], prediction, self.value[here], views, self.metrics[here])

    def copy(self) -> Step:
        """The same with memory of its own, so that the batch's can be freed."""
        return Step(self.index, self.image.clone(), self.prediction, self.value, self.views, self.metrics)


class Monitor:
    """Watches the descent of one image for a stop rule."""

    def __call__(self, step: Step) -> bool:
        """Whether to stop at this step."""
        raise NotImplementedError

    def chosen(self) -> Images | None:
        """The image to return instead of the best or last iterate; None leaves the choice to the descent."""
        return None


class StopRule:
    """A stop rule as a value; `start` begins to monitor one image."""

    def start(self, problem: Problem) -> Monitor:
        """A monitor for one image's descent."""
        raise NotImplementedError

    def score(self, metrics: StepMetrics) -> float:
        """Which iterate an edit keeps: larger is better, of equal ones the latest."""
        return target_score(metrics, confidence=1.0)

    def failed(self, image: Images, query: Images) -> bool:
        """Whether a descent that ran out of steps at this image should be repeated at half the learning rate."""
        return False


def target_score(metrics: StepMetrics, confidence: float) -> float:
    """Score of an iterate: below the confidence (p + flipped) / 2, from it on 1 + 1 / (1 + objective).

    So an image that is predicted as the target comes before one that is only more probable, and of those that reach
    the confidence the one with the smallest objective is best.
    """
    if not metrics.reaches(confidence):
        return ((metrics.target_probability or 0.0) + bool(metrics.flipped)) / 2
    return 1 + 1 / (1 + max(0.0, metrics.objective))


@dataclass(frozen=True)
class TargetReached(StopRule):
    """Stop when the target class has had this probability in `patience` steps, not necessarily consecutive ones.

    Between them the other terms pull the change back, and the smallest change that holds is kept (`score`).

    Attributes:
        confidence: probability of the target class.
        patience: steps.

    Source: ours.
    """

    confidence: float = 0.9
    patience: int = 20

    def start(self, problem: Problem) -> Monitor:
        """Count the steps that reach the confidence."""
        return _Count(lambda step: step.metrics[0].reaches(self.confidence), self.patience)

    def score(self, metrics: StepMetrics) -> float:
        """See `target_score`."""
        return target_score(metrics, self.confidence)


@dataclass(frozen=True)
class CloseEnough(StopRule):
    """Stop when the output is within `psnr` decibels of the query, 10 log10(1 / mean squared difference).

    Attributes:
        psnr: decibels.
        patience: consecutive steps.
        least: steps to take in any case: the image of a generator that has just started moves wildly when edited.

    Source: ours.
    """

    psnr: float = 32.0
    patience: int = 3
    least: int = 0

    def start(self, problem: Problem) -> Monitor:
        """Compare each output with the query."""
        return _Count(self._close, self.patience, consecutive=True, least=self.least)

    def _close(self, step: Step) -> bool:
        error = step.metrics[0].error
        return error is not None and decibels(error) >= self.psnr

    def failed(self, image: Images, query: Images) -> bool:
        """Whether the output is more than `LOST` decibels short: Adam's steps are too long for some seeds."""
        return psnr(image, query) < self.psnr - LOST


LOST = 5.0
"""Decibels short of `CloseEnough.psnr` from which an anchor is optimised anew at half the learning rate."""


class _Count(Monitor):
    """Stops after `patience` steps for which a condition holds."""

    def __init__(
        self, holds: Callable[[Step], bool], patience: int, *, consecutive: bool = False, least: int = 0
    ) -> None:
        self.holds, self.patience, self.consecutive, self.least = holds, patience, consecutive, least
        self.count = 0

    def __call__(self, step: Step) -> bool:
        holds = self.holds(step)
        self.count = self.count + 1 if holds else 0 if self.consecutive else self.count
        return self.count >= self.patience and step.index + 1 >= self.least


def psnr(image: Images, reference: Images) -> float:
    """Peak signal-to-noise ratio in decibels for intensities in [0, 1]; infinite for equal images.

    Example:
        >>> import torch
        >>> round(psnr(torch.full((1, 3, 2, 2), 0.6), torch.full((1, 3, 2, 2), 0.5)), 3)
        20.0
    """
    return decibels(float((image - reference).square().mean()))


def decibels(error: float) -> float:
    """-10 log10 of a mean squared error of intensities in [0, 1]; infinite for 0."""
    return math.inf if error <= 0 else -10 * math.log10(error)
