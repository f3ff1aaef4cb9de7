"""Sections and plots of an audit, prepared for their templates: axes, and marks at positions in percent."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cfexplain.audit.section import Section
from cfexplain.report.glossary import VERDICTS
from cfexplain.report.rows import plain

MOST_POINTS, BINS = 1500, 20
# Columns without which a section is shown as a table. Columns before the first of them say which part a row is of.
NEEDED = {"intervals": ("measure", "group", "mean"), "matrix": ("from", "to", "mean"), "cases": ("case",)}

Row = Mapping[str, Any]
Mark = tuple[float, float, float]  # Place and height of a bar that hangs from its upper left corner; a point's is 0.


class Axis(NamedTuple):
    """Both ends of an axis."""

    low: float
    high: float

    @property
    def span(self) -> float:
        """Its length."""
        return self.high - self.low

    @property
    def ticks(self) -> list[float]:
        """Round values from end to end."""
        step = _step(self.span)
        return [self.low + k * step for k in range(round(self.span / step) + 1)]

    def position(self, value: float) -> float:
        """Where a value lies, in percent; values beyond an end are moved to it."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / self.span)), 2)


@dataclass(frozen=True)
class Plot:
    """A scatter plot or a stacked histogram."""

    title: str
    titles: tuple[str, str]  # Of both axes.
    x: Axis
    y: Axis
    marks: Mapping[str, Sequence[Mark]]  # By verdict; percent of the plot, from its lower left corner.
    counts: Mapping[str, int]  # Of rows, by verdict.


def axis_of(values: Iterable[float | None]) -> Axis:
    """An axis that holds these values: 0 to 1 for shares, else from 0 to round numbers around them."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not any(known) or (min(known) >= 0 and 0.25 < max(known) <= 1):
        return Axis(0.0, 1.0)
    low, high = min(0.0, *known), max(0.0, *known)
    step = _step(high - low)
    return Axis(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)


def plots(rows: pd.DataFrame) -> list[Plot]:
    """The plots whose columns are there, of at least three rows."""
    size = "metric.root_mean_square_change" if "metric.root_mean_square_change" in rows else "metric.mean_change"
    drawn = [
        _certainty(_by_verdict(rows, ["margin", size], MOST_POINTS), size),
        _on_lesion(_by_verdict(rows, ["metric.inside_lesion"], len(rows))),
    ]
    return [plot for plot in drawn if sum(plot.counts.values()) >= 3]


def _by_verdict(rows: pd.DataFrame, columns: list[str], most: int) -> dict[str, pd.DataFrame]:
    """The first rows in which these columns are known, by verdict; nothing where a column is missing."""
    if not {"verdict", *columns} <= set(rows):
        return {}
    known = rows.dropna(subset=columns).head(most)
    return {verdict: known[known["verdict"] == verdict] for verdict in VERDICTS if verdict in set(known["verdict"])}


def _certainty(groups: Mapping[str, pd.DataFrame], size: str) -> Plot:
    x, y = Axis(0.0, 1.0), axis_of(value for rows in groups.values() for value in rows[size])
    marks = {
        verdict: [(x.position(a), y.position(b), 0.0) for a, b in zip(rows["margin"], rows[size], strict=True)]
        for verdict, rows in groups.items()
    }
    titles = ("margin between the two most probable classes", "size of the change (RMS)")
    return Plot("Certainty and size of the change", titles, x, y, marks, {k: len(rows) for k, rows in groups.items()})


def _on_lesion(groups: Mapping[str, pd.DataFrame]) -> Plot:
    counted = [np.histogram(rows["metric.inside_lesion"].clip(0, 1), BINS, (0, 1))[0] for rows in groups.values()]
    heights = np.array(counted).reshape(-1, BINS)
    tops, y = heights.cumsum(0), axis_of([5, *heights.sum(0)])
    marks = {
        verdict: [(100 * k / BINS, y.position(tops[i, k]), y.position(n)) for k, n in enumerate(heights[i]) if n]
        for i, verdict in enumerate(groups)
    }
    titles = ("share of the change on the lesion", "items")
    return Plot("Where the change lies", titles, Axis(0.0, 1.0), y, marks, {k: len(rows) for k, rows in groups.items()})


def _step(span: float) -> float:
    """A round step that divides a span into about five."""
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(power * k for k in (1, 2, 5, 10) if power * k * 5 >= span)


class Panel(NamedTuple):
    """Rows of a section's table that are drawn together, on an axis that holds their means and intervals."""

    title: str
    rows: Sequence[Row]
    axis: Axis


@dataclass(frozen=True)
class View:
    """A section as its template shows it."""

    section: Section
    kind: str  # Of the section, or `table` where columns are missing.
    columns: Sequence[str]
    rows: Sequence[Row]
    panels: Sequence[Panel]  # The same rows in groups; empty for a table.


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
