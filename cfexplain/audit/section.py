"""The summary of an audit: sections, each a small table, and the rules that were checked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from cfexplain.images import write_whole

Kind = Literal["intervals", "matrix", "table", "cases"]
Outcome = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, eq=False)
class Section:
    """One question about the classifiers and its answer.

    Attributes:
        key: short name, unique in a summary.
        title: the question.
        note: how to read the answer, in a sentence or two; may be empty.
        kind: of the table. `intervals` has columns `measure`, `group`, `n`, `mean`, `low`, `high` (95 %), drawn as dots
            and whiskers, one panel per measure. `matrix` has `from`, `to`, `n`, `mean`, `low`, `high`, drawn as a
            coloured grid. `cases` has `case`, the name of a folder in `cases/`, drawn as images. `table` is any other.
        frame: the table.
    """

    key: str
    title: str
    note: str
    kind: Kind
    frame: pd.DataFrame


@dataclass(frozen=True)
class Check:
    """The outcome of a rule.

    Attributes:
        rule: as given, such as `found<0.9`.
        outcome: `fail` if the rule holds for the value, `warn` if it holds only for an end of the interval or if the
            value is not known, else `pass`.
        value: of the measure; None where it is not known.
        low: lower end of its 95 % interval.
        high: upper end.
        n: number of values.
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
    """The results of an audit, as `summary.json` holds them.

    Attributes:
        facts: about the run, such as classifiers, method and number of images, as text.
        checks: outcomes of the rules.
        sections: in the order of reading.
    """

    facts: Mapping[str, str]
    checks: Sequence[Check] = ()
    sections: Sequence[Section] = ()

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the rules; `pass` without any."""
        outcomes = {check.outcome for check in self.checks}
        return "fail" if "fail" in outcomes else "warn" if "warn" in outcomes else "pass"

    def __getitem__(self, key: str) -> pd.DataFrame:
        frames = {section.key: section.frame for section in self.sections}
        if key not in frames:
            raise KeyError(f"there is no section {key}: {', '.join(frames)}")
        return frames[key]

    def save(self, path: Path) -> None:
        """Write it atomically; missing values are null."""
        tables = [s.frame.to_json(orient="records", double_precision=6) for s in self.sections]
        values = {
            "facts": dict(self.facts),
            "outcome": self.outcome,
            "checks": [vars(check) for check in self.checks],
            "sections": [
                {"key": s.key, "title": s.title, "note": s.note, "kind": s.kind, "rows": json.loads(table)}
                for s, table in zip(self.sections, tables, strict=True)
            ],
        }
        write_whole(path, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> "Summary":
        """Read what `save` wrote."""
        values = json.loads(path.read_text())
        sections = [Section(frame=pd.DataFrame(s.pop("rows")), **s) for s in values["sections"]]
        return cls(values["facts"], [Check(**check) for check in values["checks"]], sections)
