"""The sections of an audit's summary as a page shows them: dots and whiskers, coloured grids, tables, pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cfexplain.audit.section import Section
from cfexplain.report.drawing import axis_of, bar
from cfexplain.report.page import BLANK, aligned

OPEN_ROWS = 30
"""Longer tables are folded."""


def shown(section: Section) -> dict[str, Any]:
    """A section as plain values for its template; what does not fit its kind is shown as a table."""
    rows = [_plain(row) for row in section.frame.to_dict("records")]
    columns = [str(c) for c in section.frame.columns]
    kind = section.kind
    if kind == "intervals" and {"measure", "group", "mean"} <= set(columns):
        extra: dict[str, Any] = {"panels": panels(rows)}
    elif kind == "matrix" and {"from", "to", "mean"} <= set(columns):
        extra = {"matrix": matrix(rows)}
    elif kind == "cases" and "case" in columns:
        extra = {"groups": groups(columns, rows)}
    else:
        kind, extra = "table", {}
    texts = {"key": section.key, "title": section.title, "note": section.note, "kind": kind}
    return texts | {"columns": columns, "rows": rows, "folded": len(rows) > OPEN_ROWS} | extra


def groups(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Cases under the words of the first column, where that says why they are here; the numbers as notes."""
    first = columns[0]
    why = first if first != "case" and all(isinstance(row[first], str) for row in rows) else None
    notes = [name for name in columns if any(isinstance(row[name], float) for row in rows)]
    return [
        {
            "title": title,
            "cards": [(row["case"], _notes(row, notes)) for row in rows if why is None or row[why] == title],
        }
        for title in (dict.fromkeys(row[why] for row in rows) if why else [""])
    ]


def panels(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Dots and whiskers, a panel a measure, each on an axis that holds all of its own."""
    found = []
    for measure in dict.fromkeys(str(row["measure"]) for row in rows):
        own = [row for row in rows if str(row["measure"]) == measure]
        axis = axis_of([row.get(k) for row in own for k in ("mean", "low", "high")])
        found.append({"measure": measure, "low": axis[0], "high": axis[1], "rows": [_dot(row, axis) for row in own]})
    return found


def matrix(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A grid of means with the strength of each cell's colour."""
    starts = list(dict.fromkeys(str(row["from"]) for row in rows))
    ends = list(dict.fromkeys(str(row["to"]) for row in rows))
    cells = {(str(row["from"]), str(row["to"])): row for row in rows}
    low, high = axis_of([row.get("mean") for row in rows])
    grid = [[_cell(cells.get((start, end)), low, high) for end in ends] for start in starts]
    return {"starts": starts, "ends": ends, "grid": grid, "low": low, "high": high}


def _dot(row: Mapping[str, Any], axis: tuple[float, float]) -> dict[str, Any]:
    ends = {k: None if row.get(k) is None else bar(row[k], axis) for k in ("mean", "low", "high")}
    span = axis[1] - axis[0]
    ended = None not in (ends["low"], ends["high"])
    between = f"{aligned(row['low'], span)} to {aligned(row['high'], span)}" if ended else BLANK
    texts = {"mean": aligned(row.get("mean"), span), "between": between}
    return {**row, "texts": texts, "at": ends["mean"], "start": ends["low"], "end": ends["high"]}


def _cell(row: Mapping[str, Any] | None, low: float, high: float) -> dict[str, Any] | None:
    if row is None or row.get("mean") is None:
        return None
    return {**row, "strength": bar(row["mean"], (low, high)), "text": aligned(row["mean"], high - low)}


def _notes(row: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, row[name]) for name in names if row[name] is not None]


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(k): _value(v) for k, v in row.items()}


def _value(value: Any) -> Any:
    """A cell as a plain value; None for what is not known."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
