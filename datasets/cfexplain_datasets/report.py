"""Findings about a data set: what is wrong with it, and what was done about that."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cfexplain.images import readable


class DataError(ValueError):
    """A data set cannot be read; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class Finding:
    """One kind of problem, the images or files that have it, and what was done about them."""

    what: str
    which: tuple[str, ...]
    done: str

    def __str__(self) -> str:
        return f"{len(self.which)} {self.what}: {self.done} ({first_few(self.which)})"


@dataclass
class Report:
    """Findings in the order in which they were made."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, what: str, which: Iterable[object], done: str) -> None:
        """Add a finding, unless `which` is empty."""
        names = tuple(readable(str(name)) for name in which)
        if names:
            self.findings.append(Finding(what, names, done))

    def to_dict(self) -> list[dict[str, object]]:
        """The findings as plain values, for JSON."""
        return [{"what": f.what, "count": len(f.which), "which": list(f.which), "done": f.done} for f in self.findings]

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or "nothing to report"


def first_few(items: Sequence[object], separator: str = ", ", before_last: str = " and ", most: int = 5) -> str:
    """The first items, and how many more there are."""
    listed = separator.join(map(str, items[:most]))
    return listed if len(items) <= most else f"{listed}{before_last}{len(items) - most} more"
