"""Bootstrap intervals of means, differences and other statistics; rank correlation; calibration."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

Z = 1.96
# Groups above which a mean gets the normal limit of its bootstrap: draws times groups would fill the memory.
NORMAL_FROM = 2000


@dataclass(frozen=True)
class Interval:
    """A statistic of n values with its 95 % interval; NaN where it is not known."""

    n: int
    mean: float
    low: float
    high: float


UNKNOWN = Interval(0, math.nan, math.nan, math.nan)


def bootstrap_mean(values: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """The mean of the values that are not NaN, with the percentile bootstrap over groups.

    Whole groups, such as patients or lesions, are drawn, so that several values of one count as one; None makes every
    value a group. Where all values are 0 or 1 the interval is no narrower than Wilson's, which has a width for equal
    values.

    Example:
        >>> bootstrap_mean([1.0, 1.0, float("nan")]).mean
        1.0
    """
    numbers, names = _known(values, groups)
    if len(numbers) == 0:
        return UNKNOWN
    mean = float(numbers.mean())
    low, high = _bounds([(numbers, names)], [1.0])
    if np.isin(numbers, (0.0, 1.0)).all():
        least, most = _wilson(mean, len(set(names.tolist())))
        low, high = min(low, least), max(high, most)
    return Interval(len(numbers), mean, low, high)


def bootstrap_difference(
    first: ArrayLike, second: ArrayLike, first_groups: ArrayLike, second_groups: ArrayLike
) -> Interval:
    """The first mean less the second, as in `bootstrap_mean`; a group with values in both is drawn for both.

    In the interval, n is the number of first values.
    """
    one, other = _known(first, first_groups), _known(second, second_groups)
    if len(one[0]) == 0 or len(other[0]) == 0:
        return UNKNOWN
    low, high = _bounds([one, other], [1.0, -1.0])
    return Interval(len(one[0]), float(one[0].mean() - other[0].mean()), low, high)


def bootstrap(statistic: Callable[[Array], float], groups: ArrayLike) -> Interval:
    """Any statistic with the percentile bootstrap over groups; draws without a finite statistic are left out.

    The statistic takes indices of the sample's members, some of them several times; `groups` has the group of each.
    """
    names = np.asarray(groups)
    value = statistic(np.arange(len(names)))
    if not np.isfinite(value):
        return Interval(len(names), math.nan, math.nan, math.nan)
    codes = _codes(names)
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(members), size=len(members)) for _ in range(200)]
    values = [statistic(np.concatenate([members[i] for i in draw])) for draw in drawn]
    return Interval(len(names), float(value), *_percentiles(np.asarray(values)))


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rank correlation of the pairs in which both are finite; NaN where one of them is constant."""
    from scipy.stats import spearmanr

    pairs = np.stack([np.asarray(first, float), np.asarray(second, float)])
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    if pairs.shape[1] < 2 or (np.ptp(pairs, axis=1) == 0).any():
        return math.nan
    return float(spearmanr(*pairs).statistic)


def calibration_error(confidence: ArrayLike, right: ArrayLike) -> float:
    """Expected calibration error in ten bins of equal count, less what chance alone yields.

    A perfectly calibrated classifier scores sum_b (n_b / n) sqrt(2 v_b / (pi n_b)) by chance, where v_b is the mean of
    p (1 - p) in bin b: .07 with 200 images. It is subtracted in squares.

    Takes the probability of the predicted class, and 1 where that is the true class, else 0; shape (n,).

    Source: ours, after Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    p, hits = np.asarray(confidence, float), np.asarray(right, float)
    bins = [b for b in np.array_split(np.argsort(p, kind="stable"), 10) if len(b)]
    error = sum(len(b) * abs(p[b].mean() - hits[b].mean()) for b in bins) / len(p)
    noise = [2 * (p[b] * (1 - p[b])).mean() / (np.pi * len(b)) for b in bins]
    chance = sum(len(b) * np.sqrt(v) for b, v in zip(bins, noise, strict=True)) / len(p)
    return float(np.sqrt(max(0.0, error**2 - chance**2)))


def _known(values: ArrayLike, groups: ArrayLike | None) -> tuple[Array, Array]:
    numbers = np.asarray(values, float)
    names = np.arange(len(numbers)) if groups is None else np.asarray(groups)
    known = ~np.isnan(numbers)
    return numbers[known], names[known]


def _codes(names: Array) -> Array:
    """The number of each group, counted from 0 in the order of appearance."""
    numbers = {name: code for code, name in enumerate(dict.fromkeys(names.tolist()))}
    return np.array([numbers[name] for name in names.tolist()], dtype=int)


def _bounds(samples: Sequence[tuple[Array, Array]], signs: Sequence[float]) -> tuple[float, float]:
    """The interval of a signed sum of the samples' means."""
    codes = _codes(np.concatenate([names for _, names in samples]))
    parts = np.split(codes, np.cumsum([len(names) for _, names in samples])[:-1])
    size = int(codes.max()) + 1
    sums = np.stack([np.bincount(c, x, size) for (x, _), c in zip(samples, parts, strict=True)], 1)
    counts = np.stack([np.bincount(c, minlength=size) for c in parts], 1).astype(float)
    if size > NORMAL_FROM:
        means, total = sums.sum(0) / counts.sum(0), counts.sum(0)
        error = float(np.sqrt((((sums - means * counts) / total @ np.asarray(signs)) ** 2).sum()))
        middle = float(means @ np.asarray(signs))
        return middle - Z * error, middle + Z * error
    drawn = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), size=1000).astype(float)
    with np.errstate(invalid="ignore"):
        return _percentiles((drawn @ sums) / (drawn @ counts) @ np.asarray(signs))


def _wilson(share: float, n: int) -> tuple[float, float]:
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    reach = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _percentiles(drawn: Array) -> tuple[float, float]:
    finite = drawn[np.isfinite(drawn)]
    if len(finite) == 0:
        return math.nan, math.nan
    low, high = np.quantile(finite, ((1 - 0.95) / 2, (1 + 0.95) / 2))
    return float(low), float(high)
