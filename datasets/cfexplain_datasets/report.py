"""What was found wrong with a data set while it was read, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cfexplain.images import readable

SHOWN = 5


class DataError(ValueError):
    """A data set cannot be read; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class Finding:
    """One kind of trouble: how many, which, and what was done."""

    what: str
    which: tuple[str, ...]
    done: str

    def __str__(self) -> str:
        named = ", ".join(self.which[:SHOWN])
        more = f" and {len(self.which) - SHOWN} more" if len(self.which) > SHOWN else ""
        return f"{len(self.which)} {self.what}: {self.done} ({named}{more})"


@dataclass
class Report:
    """All findings of one intake, in the order in which they were made."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, what: str, which: Iterable[object], done: str) -> None:
        """Note a finding; nothing is noted where nothing was found."""
        names = tuple(readable(str(w)) for w in which)
        if names:
            self.findings.append(Finding(what, names, done))

    def to_dict(self) -> list[dict[str, object]]:
        """The findings as plain values."""
        return [{"what": f.what, "count": len(f.which), "which": list(f.which), "done": f.done} for f in self.findings]

    def count(self, what: str) -> int:
        """How many were found of one kind."""
        return sum(len(f.which) for f in self.findings if f.what == what)

    def __str__(self) -> str:
        return "\n".join(str(f) for f in self.findings) or "nothing to report"
