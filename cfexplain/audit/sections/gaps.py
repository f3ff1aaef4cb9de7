"""Groups of images by what is known of them, and those for which the classifiers are worse."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from cfexplain.audit.measure import FEWEST, column, keys, line, measure, values
from cfexplain.audit.region import PRESENT
from cfexplain.audit.sections import Lines, section
from cfexplain.statistics import bootstrap_difference

MEASURES = ("accuracy", "found", "semantic", "inside_lesion", "mean_change")
MOST_GROUPS = 16  # A column of more values holds names, not groups.
WHITE_BALANCED = 85.0  # Beyond this typology angle the skin is no yellower than grey: the white balance decides it.
AGES = (0, 30, 45, 60, 75, 200)


@section(60, "table")
def gaps(rows: pd.DataFrame, measures: Sequence[str] = MEASURES) -> list[dict[str, Any]]:
    """For which groups is it worse?

    Each group's mean less that of all images of other groups, with an interval; groups of at least ten lesions;
    accuracy at equal class mix. Many groups are compared: one in twenty intervals excludes 0 by chance.
    """
    found = []
    for name in measures:
        numbers = values(rows, name)
        some = rows.loc[numbers.index]
        if name == "accuracy":
            numbers = numbers - numbers.groupby(some["label"]).transform("mean")
        lesions = some["lesion_id"].where(numbers.notna())
        for title, groups in _groupings(some).items():
            for value in groups.dropna().unique():
                inside = groups == value
                rest = ~inside & groups.notna()
                if min(lesions[inside].nunique(), lesions[rest].nunique()) >= FEWEST:
                    gap = bootstrap_difference(numbers[inside], numbers[rest], lesions[inside], lesions[rest])
                    found.append(line(name, f"{title}: {value}", gap))
    return sorted(found, key=lambda row: row["mean"])


@section(61, "intervals")
def slices(rows: pd.DataFrame) -> Lines:
    """All groups."""
    for title, groups in _groupings(rows).items():
        for value, members in rows.groupby(groups, sort=True):
            if members["lesion_id"].nunique() >= FEWEST:
                yield from (line(name, f"{title}: {value}", measure(members, name)) for name in MEASURES)


def _groupings(rows: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """The ways to group the rows: metadata of few values, age in bands, skin tone, each artefact present or not."""
    found: dict[str, pd.Series[Any]] = {}
    for name in keys(rows, "meta"):
        groups = rows[f"meta.{name}"]
        ages = pd.to_numeric(groups, errors="coerce")
        if name.startswith("age") and ages.notna().sum() > groups.notna().sum() / 2:
            bands = [f"{low} to {high - 1}" if high < AGES[-1] else f"{low} and older" for low, high in pairwise(AGES)]
            ages = pd.cut(ages, AGES, right=False, labels=bands).astype(object)
            found["age" if name == "age_approx" else name.replace("_", " ")] = ages
        elif groups.nunique() <= MOST_GROUPS:
            found[name] = groups
    if "tone" in rows:
        found["skin tone"] = rows["tone"].where(column(rows, "ita").abs() < WHITE_BALANCED)
    for name in keys(rows, "artefact"):
        share = column(rows, f"artefact.{name}")
        found[name.replace("_", " ")] = share.gt(PRESENT).map({True: "there", False: "not there"}).where(share.notna())
    return {name: groups for name, groups in found.items() if groups.nunique() > 1 and not _is_class(groups, rows)}


def _is_class(groups: pd.Series[Any], rows: pd.DataFrame) -> bool:
    """Whether the label alone decides the group, as it decides which lesions are malignant."""
    labels = rows.get("label", pd.Series(dtype=object))
    return labels.nunique() > 1 and bool((groups.groupby(labels).nunique() <= 1).all())
