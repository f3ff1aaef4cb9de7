"""The rows of an audit as data for the page's table: column by column, rounded, within a size limit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cfexplain.report import glossary

SHOWN = (  # At first, in this order; the others on request.
    "image_id", "source", "target", "status", "verdict", "target_before", "target_after", "oracle_agreement",
    "robust.together", "place.lesion", "label", "classifier",
)  # fmt: skip
KEPT = (*SHOWN, "case", "words", "error")
LEFT_OUT = ("probabilities", "versions", "asked", "seed", "steps", "mask")
FILTERS = ("classifier", "label", "source", "target", "status", "verdict", "tone")
MOST_ROWS, MOST_LEVELS = 10_000, 60
MOST_CELLS = 250_000  # Keeps a page below about five megabytes; the audit's own files have all rows and columns.


def table(rows: pd.DataFrame, pages: Mapping[str, str]) -> dict[str, Any]:
    """The table as JSON values for the script; `pages` has the file name of each case's page.

    Of the `of` rows, `rows` are included. A column has `key`, `title`, `shown` (at first), `filter`, `kind`, and
    `values`, which for few different texts are indices into `levels`.
    """
    included = rows.head(MOST_ROWS)
    kept = [name for name in KEPT if name in included]
    others = [str(name) for name in included if name not in KEPT and name not in LEFT_OUT]
    columns = []
    for name in [*kept, *others][: max(len(kept), MOST_CELLS // max(len(included), 1))]:
        values = [pages.get(v) if name == "case" else plain(v) for v in included[name].tolist()]
        if any(value is not None for value in values):
            about = {"key": name, "title": glossary.title(name), "shown": name in SHOWN, "filter": name in FILTERS}
            columns.append(about | _typed(name, values))
    return {"rows": len(included), "of": len(rows), "columns": columns}


def plain(value: Any, digits: int | None = 4) -> Any:
    """A cell as a JSON value: whole numbers without decimals, others rounded, None for unknown ones."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, bool | int | str):
        return value
    if not isinstance(value, float):
        return None if value != value else str(value)
    if not math.isfinite(value):
        return None
    rounded = value if digits is None else float(f"{value:.{digits}g}")
    return int(value) if value.is_integer() else rounded


def _typed(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """Kind and values of a column; text with few levels becomes indices."""
    known = [value for value in values if value is not None]
    if not any(isinstance(value, str) for value in known):
        return {"kind": "flag" if all(isinstance(value, bool) for value in known) else "number", "values": values}
    texts = [None if value is None else str(value) for value in values]
    levels = sorted({str(value) for value in known})
    if len(levels) > MOST_LEVELS or name in ("case", "image_id"):
        return {"kind": "text", "values": texts, "filter": False}
    index: dict[str | None, int | None] = {level: k for k, level in enumerate(levels)}
    return {"kind": "level", "levels": levels, "values": [index.get(text) for text in texts]}
