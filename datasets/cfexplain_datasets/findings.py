"""What an audit says first about its images: counts, oddities, and what they share with other splits."""

from collections.abc import Iterator, Sequence

import pandas as pd

from cfexplain_datasets.check import check
from cfexplain_datasets.splits import check_split
from cfexplain_datasets.table import LesionTable

COMPARED = 20_000
"""Images, at most, of a data set that are read to find photographs in several splits, which takes a minute or two."""

SHARED = {
    "lesion": "pairs of one lesion in this split and another",
    "identical": "pairs of one file in this split and another",
    "near-duplicate": "pairs of one photograph in this split and another",
}

Row = tuple[str, int | None, str]
"""A finding, how often it was made (None: unknown), and on which images."""


def findings(whole: LesionTable, audited: LesionTable) -> pd.DataFrame:
    """The findings on the audited images, one per row, with the columns `finding`, `count` and `which`.

    Args:
        whole: the data set with all of its own splits.
        audited: the images of it that are audited.
    """
    report = check(audited)
    rows: list[Row] = [("images", report.images, f"of {report.lesions} lesions"), ("with a mask", report.masks, "")]
    rows += [(f"class {name}", count, "") for name, count in report.classes.items()]
    rows += shared(whole, audited)
    plain = report.to_dict()
    rows += [(f["what"], f["count"], _listed(f["which"])) for f in (*plain["intake"], *plain["oddities"])]
    rows += [
        (f"{name} goes with the label", None, f"Cramér's V {value:.2f}") for name, value in report.shortcuts.items()
    ]
    return pd.DataFrame(rows, columns=["finding", "count", "which"])


def shared(whole: LesionTable, audited: LesionTable) -> Iterator[Row]:
    """What the audited images share with other splits; photographs are not compared beyond `COMPARED` images."""
    if not whole.table["split"].notna().any():
        return
    compared = len(whole) <= COMPARED
    lesion, here = whole.table["lesion_id"], set(audited.table["lesion_id"])
    leaks = check_split(whole, twins=None if compared else [])
    leaks = [leak for leak in leaks if here & {lesion[leak.first], lesion[leak.second]}]
    for kind, what in SHARED.items():
        pairs = [str(leak) for leak in leaks if leak.kind == kind]
        if compared or kind == "lesion":
            yield what, len(pairs), _listed(pairs)
        else:
            yield what, None, "not looked for: cfexplain data check reads every picture"


def _listed(items: Sequence[str], most: int = 5) -> str:
    """The first items, and how many more there are."""
    some = ", ".join(items[:most])
    return some if len(items) <= most else f"{some} and {len(items) - most} more"
