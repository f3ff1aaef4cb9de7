"""For whom is the classifier worse? Groups of images by what is known of them, and the gaps between them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cfexplain.audit.interval import difference_of
from cfexplain.audit.measure import FEWEST, VALUES, column, measure, named, one_an_image
from cfexplain.audit.region import PRESENT

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("accuracy", "found", "semantic", "inside_lesion", "effort")
MOST_GROUPS = 16
"""Columns of more values are names, not groups."""

WHITE_BALANCED = 85.0
"""Beyond this typology angle the skin is no yellower than grey: the white balance, not the skin, decides it."""

AGES = (0, 30, 45, 60, 75, 200)


def groupings(rows: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """The ways to part the rows: metadata of few values, age in bands, skin tone, each artefact there or not."""
    found: dict[str, pd.Series[Any]] = {}
    for name in named(rows, "meta."):
        values = rows[f"meta.{name}"]
        if name.startswith("age"):
            found["age"] = _bands(values)
        elif 2 <= values.nunique() <= MOST_GROUPS:
            found[name] = values
    if "tone" in rows:
        found["skin tone"] = rows["tone"].where(column(rows, "ita").abs() < WHITE_BALANCED)
    for name in named(rows, "artefact."):
        share = column(rows, f"artefact.{name}")
        present = (share > PRESENT).map({True: "there", False: "not there"})
        found[name.replace("_", " ")] = present.where(share.notna())
    return {name: values for name, values in found.items() if values.nunique() >= 2}


def slices(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Each measure of each group that is large enough."""
    for name, values in groupings(rows).items():
        for value, own in rows.groupby(values, sort=True):
            if len(own) >= FEWEST:
                for what in MEASURES:
                    yield {"measure": what, "group": f"{name}: {value}"} | measure(own, what).to_dict()


def gaps(rows: pd.DataFrame, measures: tuple[str, ...] = MEASURES) -> list[dict[str, Any]]:
    """Each group's mean less that of all others, the worst first; each measure is turned so that below 0 is worse."""
    found = []
    for what in measures:
        some = one_an_image(rows) if what == "accuracy" else rows
        numbers = VALUES[what](some)
        for name, values in groupings(some).items():
            for value in values.dropna().unique():
                inside = values == value
                if min(numbers[inside].notna().sum(), numbers[~inside].notna().sum()) < FEWEST:
                    continue
                gap = difference_of(
                    numbers[inside], numbers[~inside], some["lesion_id"][inside], some["lesion_id"][~inside]
                )
                found.append({"measure": what, "group": f"{name}: {value}"} | gap.to_dict())
    return sorted(found, key=lambda row: row["mean"])


def _bands(ages: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    names = [f"{low} to {high - 1}" if high < AGES[-1] else f"{low} and older" for low, high in pairwise(AGES)]
    return pd.cut(pd.to_numeric(ages, errors="coerce"), AGES, right=False, labels=names).astype(object)
