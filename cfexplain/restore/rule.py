"""Which output of a run is returned, and when the run ends: averages, least variance, held-out pixels.

Without such a rule the prior fits the noise sooner or later. The rules read the outputs, never the ground truth.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cfexplain.generators.noise import generator_for
from cfexplain.method.stop import Monitor, Step, StopRule
from cfexplain.types import Images, Problem

# Takes the outputs one after another; returns their variance so far, None while it is not known.
Variance = Callable[[Images], float | None]


class Minimum(Monitor):
    """Keeps the candidate of the step with the least value, and stops after `patience` steps without a smaller one.

    `measure` takes an output, and returns the value or None, and the candidate; the latest one is kept until there is
    a value. `index` is the step with the least value, `least`.
    """

    def __init__(self, measure: Callable[[Images], tuple[float | None, Images]], patience: int = 0) -> None:
        self.measure, self.patience = measure, patience
        self.index: int | None = None
        self.least = math.inf
        self.best: Images | None = None

    def __call__(self, step: Step) -> bool:
        """Compare this step's value with the least."""
        value, candidate = self.measure(step.image)
        if value is not None and value < self.least:
            self.index, self.least, self.best = step.index, value, candidate
        elif self.index is None:
            self.best = candidate
        return self.index is not None and step.index - self.index >= self.patience

    def chosen(self) -> Images | None:
        """The candidate that is kept; None before the first step."""
        return self.best


@dataclass(frozen=True)
class Averaged(StopRule):
    """Return the exponential average of the outputs, a <- decay a + (1 - decay) x, from the first one on.

    Attributes:
        decay: weight of the previous average.
        until: a rule that stops; the average at the step it selects is returned. None uses all steps.

    Source: Ulyanov et al. 2018 (0.99; 29.22 dB become 30.43 on their denoising set). With `until`: ours.

    Example:
        >>> monitor = Averaged(decay=0.5).start(Problem(torch.zeros(1, 3, 2, 2)))
        >>> for k in range(2):
        ...     _ = monitor(Step(k, torch.full((1, 3, 2, 2), float(k)), None, torch.zeros(1)))
        >>> float(monitor.chosen().mean())
        0.5
    """

    decay: float = 0.99
    until: LeastVariance | None = None

    def start(self, problem: Problem) -> Minimum:
        """Start an average."""
        average = exponential_average(self.decay)
        if self.until is None:
            return Minimum(lambda image: (None, average(image)))
        variance = self.until.variance()
        return Minimum(lambda image: (variance(image), average(image)), self.until.patience)


class LeastVariance(StopRule):
    """Base of the rules that return the output of least variance."""

    patience: int

    def variance(self) -> Variance:
        """A new variance."""
        raise NotImplementedError

    def start(self, problem: Problem) -> Minimum:
        """Monitor a run."""
        variance = self.variance()
        return Minimum(lambda image: (variance(image), image), self.patience)


@dataclass(frozen=True)
class WindowedVariance(LeastVariance):
    """Stop when the variance of the last `window` outputs has not reached a new minimum for `patience` steps.

    The variance is the mean over the window of |x - mean of the window|^2 per value (intensity^2). The last output of
    the window of least variance is returned.

    Attributes:
        window: outputs; they are stored in half precision.
        patience: steps.

    Source: Wang et al., "Early Stopping for Deep Image Prior", TMLR 2023, ES-WMV (window 100, patience 1000).
    """

    window: int = 100
    patience: int = 1000

    def variance(self) -> Variance:
        """The variance of the last outputs, from running sums of their values and squares."""
        images: deque[Tensor] = deque()
        total, squares = torch.zeros(()), 0.0

        def add(image: Images) -> float | None:
            nonlocal total, squares
            images.append(image.half())
            total = total.to(image.device) + images[-1].double()
            squares += _mean_square(images[-1])
            if len(images) > self.window:
                oldest = images.popleft()
                total -= oldest
                squares -= _mean_square(oldest)
            if len(images) < self.window:
                return None
            return squares / self.window - _mean_square(total / self.window)

        return add


@dataclass(frozen=True)
class MovingVariance(LeastVariance):
    """The cheap form of `WindowedVariance`: exponential mean and variance, without storing outputs.

    With d = x - m: m <- m + weight d, and v <- (1 - weight) (v + weight |d|^2), |.|^2 per value (intensity^2).

    Attributes:
        weight: of the newest output.
        patience: steps.

    Source: Wang et al. 2023, ES-EMV (weight 0.1, patience 1000). Deviation: the first 1 / weight steps, in which v
    still grows from its start at 0, do not count as a minimum.
    """

    weight: float = 0.1
    patience: int = 1000

    def variance(self) -> Variance:
        """The exponential variance of the outputs."""
        mean, value, count = torch.empty(0), 0.0, 0

        def add(image: Images) -> float | None:
            nonlocal mean, value, count
            count += 1
            difference = torch.zeros_like(image) if count == 1 else image - mean
            mean = image if count == 1 else mean + self.weight * difference
            value = (1 - self.weight) * (value + self.weight * _mean_square(difference))
            return value if count * self.weight > 1 else None

        return add


@dataclass(frozen=True)
class HeldOut(StopRule):
    """Stop when the error on held-out pixels has not improved for `patience` steps.

    A share of the pixels is left out of the data term. If the noise of a pixel is independent of the others', the mean
    squared error there is that to the clean image plus the variance of the noise: it falls while the image is learned
    and rises when the noise is. The error is that of the exponential average of the outputs, which is also returned.

    Attributes:
        share: of the pixels, with all their channels.
        decay: of the average.
        patience: steps.

    Raises:
        ValueError: the share is not between 0 and 1; when a run starts, no pixels are held out.

    Source: ours, cross-validation within one image; compared with the rules of least variance in
        experiments/restoration.py (`denoising-middle`).
    """

    share: float = 0.02
    decay: float = 0.99
    patience: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"the share of pixels held out lies between 0 and 1, got {self.share}")

    def pixels(self, image: Images, seed: int) -> Tensor:
        """The held-out pixels, 1 there and 0 elsewhere, shape (n, 1, h, w); at least one is and one is not."""
        count = image.shape[-2] * image.shape[-1]
        order = torch.randperm(count, generator=generator_for(image, seed, "held out"))
        held_out = order[: min(max(1, round(self.share * count)), count - 1)]
        region = torch.zeros(count).index_fill_(0, held_out, 1.0)
        return region.view(1, 1, *image.shape[-2:]).expand(len(image), -1, -1, -1).to(image)

    def start(self, problem: Problem) -> Minimum:
        """Monitor a run; the problem's region marks the held-out pixels."""
        if problem.region is None:
            raise ValueError("no pixels are held out: this rule is for `denoise`, which keeps them from the descent")
        average = exponential_average(self.decay)
        weight = problem.region / problem.region.sum() / problem.query.shape[1]

        def measure(image: Images) -> tuple[float, Images]:
            mean = average(image)
            return float(((mean - problem.query).square() * weight).sum()), mean

        return Minimum(measure, self.patience)


def exponential_average(decay: float) -> Callable[[Images], Images]:
    """A function that takes images one after another and returns a <- decay a + (1 - decay) x."""
    mean: Images | None = None

    def add(image: Images) -> Images:
        nonlocal mean
        mean = image if mean is None else torch.lerp(image, mean, decay)
        return mean

    return add


def _mean_square(values: Tensor) -> float:
    return float(values.double().square().mean())
