"""Which painting of a run is handed over, and when the run ends: averages, least variance, pixels held out.

Left alone, the prior paints the noise too, sooner or later. These rules read the paintings, never the truth.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from cfexplain.generators.noise import generator_for
from cfexplain.method.stop import Monitor, Step, StopRule
from cfexplain.types import Images, Problem


@dataclass(frozen=True)
class Averaged(StopRule):
    """Hand over the exponential average of the paintings, a <- decay a + (1 - decay) x, from the first one on.

    Attributes:
        decay: share of the former average that is kept in each step.
        until: a rule that stops; the average at the step that it chooses is handed over. None uses all steps.

    Source: Ulyanov et al. 2018 (0.99; 29.22 dB become 30.43 on their denoising set). With `until`: ours.

    Example:
        >>> watch = Averaged(decay=0.5).start(Problem(torch.zeros(1, 3, 2, 2)))
        >>> for k in range(2):
        ...     _ = watch(Step(k, torch.full((1, 3, 2, 2), float(k)), None, torch.zeros(1)))
        >>> float(watch.chosen().mean())
        0.5
    """

    decay: float = 0.99
    until: WindowedVariance | MovingVariance | None = None

    def start(self, problem: Problem) -> Averaging:
        """Begin an average."""
        return Averaging(self.decay, None if self.until is None else self.until.start(problem))


class Averaging(Monitor):
    """The watch of `Averaged`."""

    def __init__(self, decay: float, until: Patient | None) -> None:
        self.decay, self.until = decay, until
        self.average: Images | None = None
        self.kept: Images | None = None

    def __call__(self, step: Step) -> bool:
        """Take a painting into the average."""
        before = self.average
        self.average = step.image if before is None else torch.lerp(step.image, before, self.decay)
        ended = self.until is not None and self.until(step)
        if self.until is None or self.until.index in (None, step.index):
            self.kept = self.average
        return ended

    def chosen(self) -> Images:
        """The average at the chosen step."""
        return _seen(self.kept)


@dataclass(frozen=True)
class Sampled(StopRule):
    """Hand over the mean of every `every`-th painting after the first `after`.

    Attributes:
        after: steps of burn-in; before them the last painting is handed over.
        every: steps between samples.

    Source: Cheng et al. 2019 (7,000 and 50), for `Langevin`.
    """

    after: int = 7000
    every: int = 50

    def start(self, problem: Problem) -> Sampling:
        """Begin a mean."""
        return Sampling(self)


class Sampling(Monitor):
    """The watch of `Sampled`."""

    def __init__(self, rule: Sampled) -> None:
        self.rule, self.count = rule, 0
        self.mean: Images | None = None

    def __call__(self, step: Step) -> bool:
        """Take a painting into the mean where it is due."""
        if step.index < self.rule.after:
            self.mean = step.image
        elif (step.index - self.rule.after) % self.rule.every == 0:
            self.count += 1
            before = step.image if self.mean is None or self.count == 1 else self.mean
            self.mean = before + (step.image - before) / self.count
        return False

    def chosen(self) -> Images:
        """The mean so far."""
        return _seen(self.mean)


@dataclass(frozen=True)
class WindowedVariance(StopRule):
    """Stop when the variance of the last `window` paintings has found no new minimum in `patience` steps.

    The variance is the mean over the window of |x - mean of the window|^2 a value (intensity^2); the painting that
    ends the window of least variance is handed over.

    Attributes:
        window: paintings; they are kept in half precision.
        patience: steps.

    Source: Wang et al., "Early Stopping for Deep Image Prior", TMLR 2023, ES-WMV (window 100, patience 1000).
    """

    window: int = 100
    patience: int = 1000

    def start(self, problem: Problem) -> Patient:
        """Begin to watch a run."""
        return Patient(Window(self.window), self.patience)


@dataclass(frozen=True)
class MovingVariance(StopRule):
    """The cheap form of `WindowedVariance`: exponential mean and variance, no paintings are kept.

    With d = x - m: m <- m + weight d, and v <- (1 - weight) (v + weight |d|^2), |.|^2 a value (intensity^2).

    Attributes:
        weight: of the newest painting.
        patience: steps.

    Source: Wang et al. 2023, ES-EMV (weight 0.1, patience 1000). Deviation: the first 1 / weight steps, in which v
    still grows from its start at 0, are no minimum.
    """

    weight: float = 0.1
    patience: int = 1000

    def start(self, problem: Problem) -> Patient:
        """Begin to watch a run."""
        return Patient(Moving(self.weight), self.patience)


@dataclass(frozen=True)
class HeldOut(StopRule):
    """Stop when pixels that the descent never saw have been painted no better for `patience` steps.

    A share of the pixels is left out of the data term. What the prior paints there follows from the others, and where
    their noise says nothing about that of a pixel left out, the mean squared error there is that to the clean picture
    plus a constant, the noise's variance: it falls while the picture is learned and rises when the noise is. Followed
    and handed over is the exponential average of the paintings. Not for damage that neighbours share, as JPEG's blocks.

    Attributes:
        share: of the pixels, all channels of one together.
        decay: of the average.
        patience: steps.

    Raises:
        ValueError: the share is not between 0 and 1; (when a run begins) no pixels were held out.

    Source: ours, cross-validation within one picture; measured beside the rules of least variance by
        experiments/restoration.py (`denoising-middle`).
    """

    share: float = 0.02
    decay: float = 0.99
    patience: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"the share of pixels held out lies between 0 and 1, got {self.share}")

    def drawn(self, image: Images, seed: int) -> Tensor:
        """Which pixels are held out, 1 there and 0 elsewhere, shape (n, 1, h, w); at least one is and one is not."""
        pixels = image.shape[-2] * image.shape[-1]
        order = torch.randperm(pixels, generator=generator_for(image, seed, "held out"))
        count = min(max(1, round(self.share * pixels)), pixels - 1)
        region = torch.zeros(pixels).index_fill_(0, order[:count], 1.0)
        return region.view(1, 1, *image.shape[-2:]).expand(len(image), -1, -1, -1).to(image)

    def start(self, problem: Problem) -> HoldingOut:
        """Begin to watch a run; the problem's region says which pixels are held out."""
        if problem.region is None:
            raise ValueError("no pixels are held out: this rule is for `denoise`, which keeps them from the descent")
        return HoldingOut(self, problem.query, problem.region)


class HoldingOut(Monitor):
    """The watch of `HeldOut`.

    Attributes:
        index: of the step of least error.
        least: that error, mean squared over the pixels held out (intensity^2).
    """

    def __init__(self, rule: HeldOut, given: Images, region: Tensor) -> None:
        self.rule, self.given, self.weight = rule, given, region / region.sum() / given.shape[1]
        self.average: Images | None = None
        self.kept: Images | None = None
        self.index, self.least = 0, math.inf

    def __call__(self, step: Step) -> bool:
        """Compare this step's error with the least."""
        before = self.average
        self.average = step.image if before is None else torch.lerp(step.image, before, self.rule.decay)
        error = float(((self.average - self.given).square() * self.weight).sum())
        if error < self.least:
            self.index, self.least, self.kept = step.index, error, self.average
        return step.index - self.index >= self.rule.patience

    def chosen(self) -> Images:
        """The average of least error."""
        return _seen(self.kept)


class Patient(Monitor):
    """The watch of the rules of least variance: keeps the painting of least variance and waits for a smaller one.

    Attributes:
        index: of the step of least variance; None before there is a variance.
        least: that variance.
    """

    def __init__(self, variance: Window | Moving, patience: int) -> None:
        self.variance, self.patience = variance, patience
        self.index: int | None = None
        self.least = math.inf
        self.kept: Images | None = None

    def __call__(self, step: Step) -> bool:
        """Compare this step's variance with the least."""
        value = self.variance(step.image)
        if value is not None and value < self.least:
            self.index, self.least, self.kept = step.index, value, step.image
        elif self.index is None:
            self.kept = step.image
        return self.index is not None and step.index - self.index >= self.patience

    def chosen(self) -> Images:
        """The painting of least variance; the last one before there is a variance."""
        return _seen(self.kept)


class Window:
    """Variance of the last paintings, by running sums of their values and squares."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: deque[Tensor] = deque()
        self.total: Tensor | None = None
        self.squares = 0.0

    def __call__(self, image: Images) -> float | None:
        """The variance, or None until the window is full."""
        newest = image.half()
        self.kept.append(newest)
        self.total = newest.double() if self.total is None else self.total.add_(newest)
        self.squares += _mean_square(newest)
        if len(self.kept) > self.size:
            oldest = self.kept.popleft()
            self.total.sub_(oldest)
            self.squares -= _mean_square(oldest)
        if len(self.kept) < self.size:
            return None
        return self.squares / self.size - _mean_square(self.total / self.size)


class Moving:
    """Exponential variance of the paintings."""

    def __init__(self, weight: float) -> None:
        self.weight, self.count, self.value = weight, 0, 0.0
        self.mean: Tensor | None = None

    def __call__(self, image: Images) -> float | None:
        """The variance, or None while it grows from its start at 0."""
        self.count += 1
        if self.mean is None:
            self.mean = image
            return None
        difference = image - self.mean
        self.mean = self.mean + self.weight * difference
        self.value = (1 - self.weight) * (self.value + self.weight * _mean_square(difference))
        return self.value if self.count * self.weight > 1 else None


def _mean_square(values: Tensor) -> float:
    return float(values.double().square().mean())


def _seen(image: Images | None) -> Images:
    if image is None:
        raise ValueError("the rule has not seen a step yet")
    return image
