"""The sections of an audit's summary, prepared for the page by their kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cfexplain.audit.section import Section
from cfexplain.report.plots import Axis, axis_of
from cfexplain.report.rows import plain

NEEDED = {"intervals": ("measure", "group", "mean"), "matrix": ("from", "to", "mean"), "cases": ("case",)}
"""Columns without which a section is shown as a table. Columns before the first of them say which part a row is of."""

Row = Mapping[str, Any]


class Panel(NamedTuple):
    """Rows of a section's table that are drawn together, on an axis that holds their means and intervals."""

    title: str
    rows: Sequence[Row]
    axis: Axis


@dataclass(frozen=True)
class View:
    """A section as its template shows it.

    Attributes:
        section: title, note and key.
        kind: of the section, or `table` where columns are missing.
        columns: of the table.
        rows: of the table.
        panels: the same rows in groups; empty for a table.
    """

    section: Section
    kind: str
    columns: Sequence[str]
    rows: Sequence[Row]
    panels: Sequence[Panel]


def view(section: Section) -> View:
    """Prepare a section: `intervals` by measure, `matrix` and `cases` by the columns that come first."""
    rows = [{str(k): plain(v, digits=None) for k, v in row.items()} for row in section.frame.to_dict("records")]
    columns = [str(column) for column in section.frame.columns]
    needed = NEEDED.get(section.kind, ())
    if not needed or not set(needed) <= set(columns):
        return View(section, "table", columns, rows, ())
    parts = columns[: columns.index(needed[0])]
    if section.kind == "intervals":
        rows = [row | {"group": ": ".join(str(row[k]) for k in (*parts, "group"))} for row in rows]
        parts = ["measure"]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(": ".join(str(row[k]) for k in parts), []).append(row)
    ends = ("mean", "low", "high") if section.kind == "intervals" else ("mean",)
    panels = [Panel(name, some, axis_of([row.get(k) for row in some for k in ends])) for name, some in groups.items()]
    return View(section, section.kind, columns, rows, panels)
