"""Rules that an audit is held to, for an exit code that a build can act on."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from cfexplain.audit.interval import UNKNOWN, Interval
from cfexplain.audit.measure import STATISTICS, VALUES, measure
from cfexplain.audit.section import Check
from cfexplain.audit.slices import gaps
from cfexplain.audit.suspect import suspects

if TYPE_CHECKING:
    import pandas as pd

_COMPARED: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
)
GAP, ARTEFACT = "worst_group_gap", "artefact_effect"
NAMES = (*VALUES, *STATISTICS, GAP, ARTEFACT)


@dataclass(frozen=True)
class Rule:
    """What must not hold: a measure, a comparison, a bound.

    Measures: those of `cfexplain.audit.measure`; `worst_group_gap`, how far the accuracy (at equal mix of classes;
    without labels: the share found) of the worst group lies below that of all others, which fails only where so many
    groups would hardly have such a gap by chance; `artefact_effect`, the share of the change of mind that the worst
    artefact brings by itself.
    """

    text: str
    name: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read `found<0.9` and the like.

        Raises:
            ValueError: it is no rule, or there is no such measure.

        Example:
            >>> Rule.parse("found < 0.9").bound
            0.9
        """
        match = re.fullmatch(r"\s*([a-z_]+)\s*(<=|>=|<|>)\s*(\d*\.?\d+)\s*", text)
        if match is None:
            raise ValueError(f"{text!r} is no rule: write MEASURE<NUMBER or MEASURE>NUMBER, such as found<0.9")
        name, comparison, bound = match.groups()
        if name not in NAMES:
            raise ValueError(f"there is no measure {name}: use {', '.join(NAMES)}")
        return cls(text.strip(), name, comparison, float(bound))

    def check(self, rows: pd.DataFrame, classifier: str) -> Check:
        """Hold one classifier's rows to it."""
        interval, note, sure = self._measured(rows)
        note = f"{classifier}, {note}" if note else classifier
        if not np.isfinite(interval.mean):
            return Check(self.text, "warn", None, None, None, interval.n, f"{note}: not known")
        ends = (interval.mean, interval.low, interval.high)
        holds = [_COMPARED[self.comparison](value, self.bound) for value in ends]
        outcome = "fail" if holds[0] and sure else "warn" if any(holds) else "pass"
        low, high = (float(v) if np.isfinite(v) else None for v in (interval.low, interval.high))
        return Check(self.text, outcome, interval.mean, low, high, interval.n, note)  # type: ignore[arg-type]

    def _measured(self, rows: pd.DataFrame) -> tuple[Interval, str, bool]:
        """The value, what it is of, and whether it is more than the worst of many would be by chance."""
        if self.name == GAP:
            breaks = lambda gap: _COMPARED[self.comparison](gap, self.bound)  # noqa: E731
            return _worst_gap(gaps(rows, ("accuracy",)) or gaps(rows, ("found",)), breaks)
        if self.name == ARTEFACT:
            ranked = suspects(rows)
            if not ranked:
                return UNKNOWN, "", True
            worst = ranked[0]
            return Interval(worst["n"], worst["excess"], worst["low"], worst["high"]), str(worst["suspect"]), True
        return measure(rows, self.name), "", True


def _worst_gap(found: Sequence[Mapping[str, Any]], breaks: Callable[[float], bool]) -> tuple[Interval, str, bool]:
    """The largest gap that breaks the rule and is sure, or else the largest.

    Sure is one where an interval for all groups together (Bonferroni) leaves out 0: the largest may be a small
    group's, and chance.
    """
    from scipy.stats import norm

    if not found:
        return UNKNOWN, "no groups to compare", True

    def sure(gap: Mapping[str, Any]) -> bool:
        spread = (gap["high"] - gap["low"]) / (2 * norm.isf(0.025))
        return bool(-gap["mean"] > norm.isf(0.025 / len(found)) * spread)

    gap = next((g for g in found if breaks(-g["mean"]) and sure(g)), found[0])
    place = "the worst" if gap is found[0] else "the worst that is more than chance"
    note = f"{gap['measure']} of {gap['group']}, {place} of {len(found)} groups"
    return Interval(gap["n"], -gap["mean"], -gap["high"], -gap["low"]), note, sure(gap)
