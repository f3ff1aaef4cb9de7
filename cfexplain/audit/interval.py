"""Means with intervals: lesions are drawn again with replacement, so that several images of one count as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 1000
LEVEL = 0.95
MANY = 2000
"""With more lesions the bootstrap is replaced by its limit: draws times lesions would fill the memory."""


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % bootstrap interval over n values; NaN where there is none."""

    n: int
    mean: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """As a row of a table."""
        return vars(self)


UNKNOWN = Interval(0, float("nan"), float("nan"), float("nan"))


def mean_of(values: pd.Series[Any], lesions: pd.Series[Any]) -> Interval:
    """The mean of what is known, with the percentile bootstrap over lesions; a share's is no narrower than Wilson's."""
    numbers, of = _known(values, lesions)
    if len(numbers) == 0:
        return UNKNOWN
    mean = float(numbers.mean())
    low, high = _bootstrap([(numbers, of)], (1.0,))
    if np.isin(numbers, (0.0, 1.0)).all():
        least, most = _wilson(mean, len(np.unique(of.astype(str))))
        low, high = min(low, least), max(high, most)
    return Interval(len(numbers), mean, low, high)


def difference_of(
    first: pd.Series[Any], second: pd.Series[Any], first_lesions: pd.Series[Any], second_lesions: pd.Series[Any]
) -> Interval:
    """The first mean less the second; lesions with images in both are drawn for both; n is of the first."""
    (a, of_a), (b, of_b) = _known(first, first_lesions), _known(second, second_lesions)
    if len(a) == 0 or len(b) == 0:
        return UNKNOWN
    low, high = _bootstrap([(a, of_a), (b, of_b)], (1.0, -1.0))
    return Interval(len(a), float(a.mean() - b.mean()), low, high)


def statistic_of(rows: pd.DataFrame, statistic: Callable[[pd.DataFrame], float], draws: int = 200) -> Interval:
    """Any statistic of rows that have a `lesion_id`, with the bootstrap over lesions."""
    whole = statistic(rows)
    if not np.isfinite(whole):
        return Interval(len(rows), float("nan"), float("nan"), float("nan"))
    places = list(rows.groupby("lesion_id", sort=False).indices.values())
    rng = np.random.default_rng(0)
    drawn = [
        statistic(rows.iloc[np.concatenate([places[i] for i in rng.integers(len(places), size=len(places))])])
        for _ in range(draws)
    ]
    low, high = _ends(np.asarray(drawn))
    return Interval(len(rows), float(whole), low, high)


def _known(values: pd.Series[Any], lesions: pd.Series[Any]) -> tuple[np.ndarray, np.ndarray]:
    """What is known, and the lesion of each."""
    known = values.notna().to_numpy()
    return values.to_numpy(dtype=float, na_value=np.nan)[known], lesions.to_numpy()[known]


def _bootstrap(groups: Sequence[tuple[np.ndarray, np.ndarray]], signs: Sequence[float]) -> tuple[float, float]:
    """The interval of a signed sum of groups' means; of many lesions its normal limit, which needs no draws."""
    import pandas as pd

    codes, known = pd.factorize(np.concatenate([of for _, of in groups]))
    parted = np.split(codes, np.cumsum([len(of) for _, of in groups])[:-1])
    size = len(known)
    sums = np.stack([np.bincount(c, x, size) for (x, _), c in zip(groups, parted, strict=True)], 1)
    counts = np.stack([np.bincount(c, minlength=size) for c in parted], 1).astype(float)
    means, turned = sums.sum(0) / counts.sum(0), np.asarray(signs)
    if size > MANY:
        spread = float(np.sqrt((((sums - means * counts) / counts.sum(0) @ turned) ** 2).sum()))
        middle = float(means @ turned)
        return middle - 1.96 * spread, middle + 1.96 * spread
    drawn = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), size=DRAWS).astype(float)
    with np.errstate(invalid="ignore"):
        return _ends((drawn @ sums) / (drawn @ counts) @ turned)


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval: it has a width where all values are the same."""
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _ends(drawn: np.ndarray) -> tuple[float, float]:
    finite = drawn[np.isfinite(drawn)]
    if len(finite) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
