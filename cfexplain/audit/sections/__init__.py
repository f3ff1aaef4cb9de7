"""Sections of an audit's summary; adding a file adds its sections.

A section is a function that yields the lines of a table. Its name is the section's key, its docstring title and note.
"""

import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from cfexplain.audit.measure import line, measure
from cfexplain.audit.section import Kind, Section

Lines = Iterable[dict[str, Any]]
Function = TypeVar("Function", bound=Callable[..., Lines])
SECTIONS: list[tuple[int, Kind, bool, Callable[..., Lines]]] = []


@dataclass(frozen=True, eq=False)
class Results:
    """What sections are computed from: the rows, the names of the audited classifiers, and the audit's folder."""

    rows: pd.DataFrame
    classifiers: Sequence[str]
    folder: Path

    def of(self, classifier: str) -> pd.DataFrame:
        """The rows of one classifier."""
        return self.rows[self.rows["classifier"] == classifier]

    def measures(self, names: Sequence[str]) -> Lines:
        """Each measure of each classifier, where it is known."""
        lines = [line(name, group, measure(self.of(group), name)) for name in names for group in self.classifiers]
        return [line for line in lines if line["mean"] == line["mean"]]

    def per_classifier(self, section: Callable[[pd.DataFrame], Lines]) -> Lines:
        """The lines of each classifier's rows; if there are several, a column names the classifier."""
        for name in self.classifiers:
            label = {"classifier": name} if len(self.classifiers) > 1 else {}
            yield from (label | line for line in section(self.of(name)))


def section(order: int, kind: Kind, *, per_classifier: bool = True) -> Callable[[Function], Function]:
    """Make a function a section, of the `kind` that `Section` describes, in the `order` of the summary.

    It takes the rows of one classifier, or the `Results` where it is not `per_classifier`.
    """

    def register(function: Function) -> Function:
        SECTIONS.append((order, kind, per_classifier, function))
        return function

    return register


def all_sections(results: Results) -> list[Section]:
    """The sections of all files of this package, in their order; empty ones are left out."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    found = []
    for _, kind, per_classifier, function in sorted(SECTIONS, key=lambda section: section[0]):
        title, _, note = (getdoc(function) or "").partition("\n")
        frame = pd.DataFrame(list(results.per_classifier(function) if per_classifier else function(results)))
        found.append(Section(function.__name__, title.rstrip("."), " ".join(note.split()), kind, frame))
    return [section for section in found if len(section.frame)]
