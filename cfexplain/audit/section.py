"""What an audit says: a section a question, each a small table with n and an interval, and the rules it was held to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from cfexplain.images import write_whole

Kind = Literal["intervals", "matrix", "table", "cases"]
Outcome = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, eq=False)
class Section:
    """One question and its answer.

    Attributes:
        key: short name, unique in a summary.
        title: the question.
        note: how to read the answer, in a sentence or two; may be empty.
        kind: what the table is. `intervals`: columns `measure`, `group`, `n`, `mean`, `low`, `high` (95 %), drawn as
            dots and whiskers, a panel a measure. `matrix`: columns `from`, `to`, `n`, `mean`, `low`, `high`, drawn as a
            coloured grid. `cases`: has the column `case`, the name of a folder in `cases/`, shown as pictures.
            `table`: anything else, shown as it is.
        frame: the table.
    """

    key: str
    title: str
    note: str
    kind: Kind
    frame: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON; what is not known is null."""
        rows = json.loads(self.frame.to_json(orient="records", double_precision=6))
        return {"key": self.key, "title": self.title, "note": self.note, "kind": self.kind, "rows": rows}


@dataclass(frozen=True)
class Check:
    """A rule and what came of it.

    Attributes:
        rule: as it was given, such as `found<0.9`.
        outcome: `fail` where it holds of the value; `warn` where it holds only of an end of the interval, or nothing
            is known; else `pass`.
        value: the measured value; None where there is none.
        low: lower end of its 95 % interval.
        high: upper end.
        n: of how many.
        note: what the value is of, such as the name of the worst group.
    """

    rule: str
    outcome: Outcome
    value: float | None
    low: float | None
    high: float | None
    n: int
    note: str = ""


@dataclass(frozen=True, eq=False)
class Summary:
    """All that an audit says; `summary.json`.

    Attributes:
        facts: of the run, name and value as text: classifiers, data, method, images, rows, seconds, versions.
        checks: the rules.
        sections: the questions, in the order of reading.
    """

    facts: Mapping[str, str]
    checks: Sequence[Check] = ()
    sections: Sequence[Section] = field(default_factory=tuple)

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the rules; `pass` without any."""
        outcomes = {check.outcome for check in self.checks}
        return "fail" if "fail" in outcomes else "warn" if "warn" in outcomes else "pass"

    def __getitem__(self, key: str) -> pd.DataFrame:
        for section in self.sections:
            if section.key == key:
                return section.frame
        raise KeyError(f"there is no section {key}: {', '.join(s.key for s in self.sections)}")

    def save(self, path: Path) -> None:
        """Write it whole, or not at all."""
        checks = [vars(check) for check in self.checks]
        values = {"facts": dict(self.facts), "outcome": self.outcome, "checks": checks}
        values["sections"] = [section.to_dict() for section in self.sections]
        write_whole(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Summary:
        """Read what `save` wrote."""
        values = json.loads(path.read_text())
        sections = [
            Section(s["key"], s["title"], s["note"], s["kind"], pd.DataFrame(s["rows"])) for s in values["sections"]
        ]
        return cls(values["facts"], tuple(Check(**check) for check in values["checks"]), tuple(sections))
