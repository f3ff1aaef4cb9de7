"""The rows of an audit as a page carries them: once, column by column, without digits that nobody reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfexplain.report import glossary

if TYPE_CHECKING:
    import pandas as pd

FIRST = (
    "image_id",
    "source",
    "target",
    "status",
    "verdict",
    "target_before",
    "target_after",
    "oracle_agreement",
    "robust.together",
    "place.lesion",
    "label",
    "classifier",
)
"""Columns that the table shows at first, in this order; the others on request."""

KEPT = (*FIRST, "case", "words", "error")
LEFT_OUT = ("probabilities", "versions", "asked", "seed", "steps", "mask")
FILTERS = ("classifier", "label", "source", "target", "status", "verdict", "tone")
MOST_ROWS = 10_000
MOST_CELLS = 250_000
"""So that a page stays below some five megabytes; rows and columns beyond stay in the audit's own files."""

MOST_LEVELS = 60


def read_rows(folder: Path) -> pd.DataFrame:
    """All rows of an audit, numbers as numbers; an empty table without any."""
    from cfexplain.audit.store import read_rows as stored

    rows = stored(folder)
    return rows.assign(**{name: _typed(rows[name]) for name in rows.columns if str(name).startswith("meta.")})


def table(rows: pd.DataFrame, pages: Mapping[str, str]) -> dict[str, Any]:
    """Plain values for the script: columns in order, each with its values.

    Args:
        rows: of the audit.
        pages: address of each case's own page, below pages/.

    Returns:
        `rows`, how many are here; `of`, how many there are; `columns`: key, title, whether it is shown at first and
        can be filtered, and `values`, for text with few different ones as indices into `levels`.
    """
    kept = rows.head(MOST_ROWS)
    names = _columns(kept)
    room = max(len([n for n in names if n in KEPT]), MOST_CELLS // max(len(kept), 1))
    columns = [_column(name, kept[name], pages) for name in names[:room]]
    return {"rows": len(kept), "of": len(rows), "columns": [c for c in columns if c is not None]}


def plain(value: Any) -> Any:
    """A value of a table as JSON has it: whole numbers whole, others to four digits, None for what is not known."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return None if value != value else str(value)


def _columns(rows: pd.DataFrame) -> list[str]:
    names = [str(name) for name in rows.columns]
    first = [name for name in KEPT if name in names]
    return first + [name for name in names if name not in first and name not in LEFT_OUT]


def _column(name: str, values: pd.Series[Any], pages: Mapping[str, str]) -> dict[str, Any] | None:
    listed = [plain(v) for v in values.tolist()]
    if name == "case":
        listed = [pages.get(v) for v in listed]
    if all(v is None for v in listed):
        return None
    column: dict[str, Any] = {"key": name, "title": glossary.title(name), "shown": name in FIRST}
    levels = sorted({v for v in listed if isinstance(v, str)})
    if any(isinstance(v, str) for v in listed):
        listed = [v if v is None else str(v) for v in listed]
        levels = sorted({v for v in listed if v is not None})
    if levels and len(levels) <= MOST_LEVELS and name not in ("case", "image_id"):
        place = {level: k for k, level in enumerate(levels)}
        return column | {
            "kind": "level",
            "filter": name in FILTERS,
            "levels": levels,
            "values": [None if v is None else place[v] for v in listed],
        }
    kind = "text" if levels else "flag" if all(v is None or isinstance(v, bool) for v in listed) else "number"
    return column | {"kind": kind, "filter": False, "values": listed}


def _typed(values: pd.Series[Any]) -> pd.Series[Any]:
    """Text that is all numbers, as numbers."""
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    return numbers if numbers.notna().sum() == values.notna().sum() else values
