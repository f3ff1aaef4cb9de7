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

MEASURES = ("accuracy", "found", "semantic", "inside_lesion", "mean_change")
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
        if name.startswith("age") and _numeric(values):
            found["age" if name == "age_approx" else name.replace("_", " ")] = _bands(values)
        elif 2 <= values.nunique() <= MOST_GROUPS:
            found[name] = values
    if "tone" in rows:
        found["skin tone"] = rows["tone"].where(column(rows, "ita").abs() < WHITE_BALANCED)
    for name in named(rows, "artefact."):
        share = column(rows, f"artefact.{name}")
        present = (share > PRESENT).map({True: "there", False: "not there"})
        found[name.replace("_", " ")] = present.where(share.notna())
    return {name: values for name, values in found.items() if values.nunique() >= 2 and not _told(values, rows)}


def _told(values: pd.Series[Any], rows: pd.DataFrame) -> bool:
    """Whether the label alone says the group, as that of a malignant one: then it is no group but a class."""
    if "label" not in rows or rows["label"].nunique() < 2:
        return False
    return bool((values.groupby(rows["label"]).nunique() <= 1).all())


def slices(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Each measure of each group that is large enough."""
    for name, values in groupings(rows).items():
        for value, own in rows.groupby(values, sort=True):
            if own["lesion_id"].nunique() >= FEWEST:
                for what in MEASURES:
                    yield {"measure": what, "group": f"{name}: {value}"} | measure(own, what).to_dict()


def gaps(rows: pd.DataFrame, measures: tuple[str, ...] = MEASURES) -> list[dict[str, Any]]:
    """Each group's mean less that of all images of other known groups, the lowest first.

    Accuracy is compared at equal mix of classes: from each image's 0 or 1 the mean of its label's class is taken.
    """
    found = []
    for what in measures:
        some = one_an_image(rows) if what == "accuracy" else rows
        numbers = VALUES[what](some)
        if what == "accuracy":
            numbers = numbers - numbers.groupby(some["label"]).transform("mean")
        for name, values in groupings(some).items():
            for value in values.dropna().unique():
                inside = values == value
                lesions = some["lesion_id"].where(numbers.notna())
                if min(lesions[inside].nunique(), lesions[~inside & values.notna()].nunique()) < FEWEST:
                    continue
                rest = ~inside & values.notna()
                gap = difference_of(numbers[inside], numbers[rest], lesions[inside], lesions[rest])
                found.append({"measure": what, "group": f"{name}: {value}"} | gap.to_dict())
    return sorted(found, key=lambda row: row["mean"])


def _numeric(values: pd.Series[Any]) -> bool:
    import pandas as pd

    return bool(pd.to_numeric(values, errors="coerce").notna().sum() > values.notna().sum() / 2)


def _bands(ages: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    names = [f"{low} to {high - 1}" if high < AGES[-1] else f"{low} and older" for low, high in pairwise(AGES)]
    return pd.cut(pd.to_numeric(ages, errors="coerce"), AGES, right=False, labels=names).astype(object)
