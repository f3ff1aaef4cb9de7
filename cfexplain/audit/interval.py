"""Means with intervals: lesions are drawn again with replacement, so that several images of one count as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 1000
LEVEL = 0.95


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
    """The mean of what is known, with the percentile bootstrap over lesions."""
    numbers, of = _known(values, lesions)
    if len(numbers) == 0:
        return UNKNOWN
    low, high = _ends(_means(numbers, of, np.random.default_rng(0)))
    return Interval(len(numbers), float(numbers.mean()), low, high)


def difference_of(
    first: pd.Series[Any], second: pd.Series[Any], first_lesions: pd.Series[Any], second_lesions: pd.Series[Any]
) -> Interval:
    """The first mean less the second, of groups that share no lesion; n is of the first."""
    (a, of_a), (b, of_b) = _known(first, first_lesions), _known(second, second_lesions)
    if len(a) == 0 or len(b) == 0:
        return UNKNOWN
    rng = np.random.default_rng(0)
    low, high = _ends(_means(a, of_a, rng) - _means(b, of_b, rng))
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


def _means(numbers: np.ndarray, lesions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`DRAWS` means of resampled lesions: how often each is drawn is multinomial."""
    import pandas as pd

    codes, known = pd.factorize(lesions)
    sums, counts = np.bincount(codes, numbers), np.bincount(codes)
    drawn = rng.multinomial(len(known), np.full(len(known), 1 / len(known)), size=DRAWS)
    return np.asarray((drawn @ sums) / np.maximum(drawn @ counts, 1))


def _ends(drawn: np.ndarray) -> tuple[float, float]:
    finite = drawn[np.isfinite(drawn)]
    if len(finite) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
