"""Rules that an audit is checked against, for an exit code that a build can act on."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cfexplain.audit.measure import STATISTICS, VALUES, measure
from cfexplain.audit.section import Check
from cfexplain.audit.sections.gaps import gaps
from cfexplain.audit.sections.suspects import suspects
from cfexplain.explanation.metrics import METRICS
from cfexplain.statistics import UNKNOWN, Interval

COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
GAP, ARTEFACT = "worst_group_gap", "artefact_effect"


@dataclass(frozen=True)
class Rule:
    """What must not hold: a measure, a comparison, a bound.

    Measures: those of `cfexplain.audit.measure`, metrics included; `worst_group_gap`, how far the accuracy (at equal
    class mix; without labels: the share found) of the worst group is below that of all others, beyond chance;
    `artefact_effect`, the share of the flip that the worst artefact causes alone.
    """

    text: str
    name: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Read a rule such as `found<0.9`; a ValueError where it is none, or there is no such measure.

        Example:
            >>> Rule.parse("found < 0.9").bound
            0.9
        """
        match = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\d*\.?\d+)\s*", text)
        if match is None:
            raise ValueError(f"{text!r} is not a rule: write MEASURE<NUMBER or MEASURE>NUMBER, such as found<0.9")
        name, comparison, bound = match.groups()
        if name not in (known := (*VALUES, *STATISTICS, GAP, ARTEFACT, *sorted(METRICS))):
            raise ValueError(f"there is no measure {name}: use {', '.join(known)}")
        return cls(text.strip(), name, comparison, float(bound))

    def check(self, rows: pd.DataFrame, classifier: str) -> Check:
        """Check the rows of one classifier."""
        value, note, significant = self._measure(rows)
        note = f"{classifier}, {note}" if note else classifier
        if not np.isfinite(value.mean):
            return Check(self.text, "warn", None, None, None, value.n, f"{note}: not known")
        holds = [self._holds(number) for number in (value.mean, value.low, value.high)]
        outcome = "fail" if holds[0] and significant else "warn" if any(holds) else "pass"
        low, high = (number if np.isfinite(number) else None for number in (value.low, value.high))
        return Check(self.text, outcome, value.mean, low, high, value.n, note)  # type: ignore[arg-type]

    def _holds(self, value: float) -> bool:
        return bool(COMPARISONS[self.comparison](value, self.bound))

    def _measure(self, rows: pd.DataFrame) -> tuple[Interval, str, bool]:
        """The value, what it is of, and whether it is significant."""
        if self.name == GAP:
            return worst_gap(gaps(rows, ("accuracy",)) or gaps(rows, ("found",)), self._holds)
        if self.name == ARTEFACT:
            worst = next(iter(suspects(rows)), dict[str, Any](vars(UNKNOWN), excess=np.nan, suspect=""))
            return Interval(worst["n"], worst["excess"], worst["low"], worst["high"]), worst["suspect"], True
        return measure(rows, self.name), "", True


def worst_gap(gaps: Sequence[dict[str, Any]], breaks: Callable[[float], bool]) -> tuple[Interval, str, bool]:
    """The largest significant gap that breaks the rule, or else the largest, which may be chance in a small group.

    A gap is significant if its interval excludes 0 at a level for all groups together (Bonferroni). Takes the gaps,
    the largest first; returns one as a positive number, a note on its group, and whether it is significant.
    """
    from scipy.stats import norm

    if not gaps:
        return UNKNOWN, "no groups to compare", True
    reach = norm.isf(0.025 / len(gaps)) / norm.isf(0.025) / 2
    significant = [-gap["mean"] > reach * (gap["high"] - gap["low"]) for gap in gaps]
    at = next((i for i, gap in enumerate(gaps) if breaks(-gap["mean"]) and significant[i]), 0)
    gap, place = gaps[at], "the worst that is more than chance" if at else "the worst"
    note = f"{gap['measure']} of {gap['group']}, {place} of {len(gaps)} groups"
    return Interval(gap["n"], -gap["mean"], -gap["high"], -gap["low"]), note, bool(significant[at])
