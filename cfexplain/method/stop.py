"""When to stop: rules that watch the steps of a search."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Images, Prediction, Problem


@dataclass(frozen=True)
class StepMetrics:
    """What is decided by at a step, as plain numbers.

    Attributes:
        objective: its value.
        error: mean squared difference of the painting to the query; None where they differ in size.
        target_probability: of the image or on average over its views, whichever is smaller; None without a target.
        estimated_loss: of the image; None without an estimator.
        flipped: whether the image, views aside, is taken for the target; None without a target.
    """

    objective: float
    error: float | None = None
    target_probability: float | None = None
    estimated_loss: float | None = None
    flipped: bool | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a search, as it stands before the parameters move on.

    Attributes:
        index: counted from 0.
        image: the painting, shape (n, 3, h, w), cut from the graph.
        prediction: of the image that the terms judge, where one of this step asked for it.
        views: of random views of it, where the stage has some.
        value: of the objective, shape (n,).
        metrics: of each image, where they have been worked out (see `metrics_of`); `descend` does.
    """

    index: int
    image: Images
    prediction: Prediction | None
    value: Float[Tensor, " n"]
    views: Prediction | None = None
    metrics: tuple[StepMetrics, ...] = ()


class ImageStep(Step):
    """One image of a step of n, sliced on access: of most steps only the metrics are ever read."""

    def __init__(self, whole: Step, place: int) -> None:
        self.__dict__.update(whole=whole, place=place, index=whole.index, metrics=whole.metrics[place : place + 1])

    @property
    def image(self) -> Images:
        """Its painting, a part of the batch's memory."""
        return self._whole.image[self._here]

    @property
    def value(self) -> Tensor:
        """Of the objective, shape (1,)."""
        return self._whole.value[self._here]

    @property
    def prediction(self) -> Prediction | None:
        """Of the image, without features."""
        return self._light(self._whole.prediction, self._here)

    @property
    def views(self) -> Prediction | None:
        """Of its views, without features."""
        place: int = self.__dict__["place"]
        return self._light(self._whole.views, slice(place, None, len(self._whole.image)))

    def own(self) -> Step:
        """The same with a painting of its own, so that the batch's memory can go."""
        return Step(self.index, self.image.clone(), self.prediction, self.value, self.views, self.metrics)

    @property
    def _whole(self) -> Step:
        whole: Step = self.__dict__["whole"]
        return whole

    @property
    def _here(self) -> slice:
        place: int = self.__dict__["place"]
        return slice(place, place + 1)

    @staticmethod
    def _light(prediction: Prediction | None, which: slice) -> Prediction | None:
        return None if prediction is None else prediction.without_features().at(which)


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
            count += reaches(step, problem, self.confidence)
            return count >= self.patience

        return watch

    def better(self, step: Step, problem: Problem) -> float:
        """A score of steps: below the confidence what is predicted as the target comes first, then its probability.

        Above it 1 and more for a smaller objective.
        """
        if not reaches(step, problem, self.confidence):
            flipped = all(each.flipped for each in known(step, problem))
            return (target_probability(step, problem) + flipped) / 2
        return 1 + 1 / (1 + max(0.0, sum(each.objective for each in known(step, problem))))


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
            errors = [each.error for each in known(step, problem) if each.error is not None]
            count = count + 1 if decibels(statistics.fmean(errors)) >= self.psnr else 0
            return count >= self.patience and step.index + 1 >= self.least

        return watch


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


def target_probability(step: Step, problem: Problem) -> float:
    """Probability of the target class, of the image or on average over its views, whichever is smaller.

    The smallest in the batch; 0 where there is no prediction.
    """
    return min(each.target_probability or 0.0 for each in known(step, problem))


def reaches(step: Step, problem: Problem, confidence: float) -> bool:
    """Whether the classifier takes the image for the target, and with this probability (see `target_probability`)."""
    metrics = known(step, problem)
    return all(each.flipped and (each.target_probability or 0.0) >= confidence for each in metrics)


def known(step: Step, problem: Problem) -> tuple[StepMetrics, ...]:
    """The metrics that a step carries, or else those that can be worked out."""
    return step.metrics or metrics_of(step, problem)


def metrics_of(step: Step, problem: Problem) -> tuple[StepMetrics, ...]:
    """The metrics of each image."""
    return metrics_coming(step, problem)()


def metrics_coming(step: Step, problem: Problem) -> Callable[[], tuple[StepMetrics, ...]]:
    """The metrics of each image, on their way from its device, which meanwhile does what it is asked next.

    They travel together, for one by one each would make a GPU wait.
    """
    image, query = step.image, problem.query
    error = (image - query).square().flatten(1).mean(1) if image.shape == query.shape else None
    reached = None if problem.target is None else _reached(step, problem.target)
    loss = None if step.prediction is None else step.prediction.loss
    flipped = None if problem.target is None else _flipped(step, problem.target)
    asked = (step.value, error, reached, loss, flipped)
    arrived = _fetched(torch.stack([part.detach() for part in asked if part is not None]))

    def metrics() -> tuple[StepMetrics, ...]:
        numbers = iter(arrived())
        of_each = [next(numbers) if part is not None else [None] * len(image) for part in asked]
        return tuple(
            StepMetrics(value, error, reached, loss, None if flipped is None else bool(flipped))
            for value, error, reached, loss, flipped in zip(*of_each, strict=True)
        )

    return metrics


def _fetched(numbers: Tensor) -> Callable[[], list[list[float]]]:
    """Numbers on their way to the CPU; calling waits for them."""
    if not numbers.is_cuda:
        return numbers.tolist
    here = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True).copy_(numbers, non_blocking=True)
    come = torch.cuda.Event()
    come.record(torch.cuda.current_stream(numbers.device))

    def wait() -> list[list[float]]:
        come.synchronize()
        found: list[list[float]] = here.tolist()
        return found

    return wait


def _flipped(step: Step, target: Tensor) -> Tensor | None:
    """1 where the image is taken for its target; as a number, to travel with the others."""
    if step.prediction is None:
        return None
    logits = step.prediction.logits
    return (logits.argmax(1) == target.to(logits.device)).to(step.value.dtype)


def _reached(step: Step, target: Tensor) -> Tensor | None:
    if step.prediction is None:
        return None
    asked = target.to(step.prediction.logits.device)[:, None]
    of_image = step.prediction.probabilities.gather(1, asked).squeeze(1)
    if step.views is None:
        return of_image
    seen = step.views.probabilities.gather(1, asked.repeat(len(step.views.logits) // len(target), 1))
    return torch.minimum(of_image, seen.view(-1, len(target)).mean(0))
