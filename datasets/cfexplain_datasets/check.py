"""Checks of a data set before it is used: counts, splits, leaks, problems of images and metadata, shortcuts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from cfexplain_datasets.fingerprint import Fingerprints, Twin
from cfexplain_datasets.report import Report, first_few
from cfexplain_datasets.splits import Leak, check_split
from cfexplain_datasets.table import SPLITS, LesionTable, load_mask_or_none

SMALL = 64  # images with a shorter side in pixels hide what dermoscopy shows
COVERS = 0.95  # masks that cover a larger share of the image leave no skin beside the lesion
SHORTCUT = 0.2  # columns with a larger Cramér's V predict the label well enough to be mentioned
NO_SHORTCUTS = ["label", "lesion_id", "path", "mask_path", "split", "near_duplicate_of", "patient_id"]

COMPARED = 20_000  # images, at most, that are read to find photographs in several splits, which takes a minute or two
SHARED = {
    "lesion": "pairs of one lesion in this split and another",
    "identical": "pairs of one file in this split and another",
    "near-duplicate": "pairs of one photograph in this split and another",
}

Row = tuple[str, int | None, str]  # a finding, how often it was made (None: unknown), and on which images


@dataclass(frozen=True, eq=False)
class DataReport:
    """What a data set contains, and what is wrong with it."""

    name: str
    images: int
    lesions: int
    masks: int  # number of images with a mask
    classes: Mapping[str, int]  # number of images of each class, and of those without a label
    splits: Mapping[str, Mapping[str, int]]  # the same for each split
    intake: Report  # what the reader found and did
    leaks: Sequence[Leak]  # pairs of images that the split separates
    oddities: Report  # what to know before training on the data
    shortcuts: Mapping[str, float]  # Cramér's V of columns with the label, the largest first

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self) | {
            "intake": self.intake.to_dict(),
            "leaks": [{"kind": k.kind, "ids": [k.first, k.second], "sides": list(k.sides)} for k in self.leaks],
            "oddities": self.oddities.to_dict(),
        }

    def __str__(self) -> str:
        columns = {"all": self.classes} | {s: self.splits[s] for s in SPLITS if s in self.splits}
        leaks = f"{len(self.leaks)} pairs ({first_few(self.leaks, '; ', '; and ')})" if self.leaks else "none"
        strong = [f"{k} goes with the label (Cramér's V {v:.2f})" for k, v in self.shortcuts.items() if v >= SHORTCUT]
        lines = [
            f"{self.name}: {self.images} images of {self.lesions} lesions, {self.masks} with a mask",
            pd.DataFrame(columns).fillna(0).astype(int).to_string(),
            "intake: " + str(self.intake).replace("\n", "\n  "),
            f"leaks: {leaks if self.splits else 'there is no split yet'}",
            *(f"odd: {finding}" for finding in self.oddities.findings),
            *(f"shortcut: {column}; a classifier may learn it in place of the lesion" for column in strong),
        ]
        return "\n".join(lines)


def check(dataset: LesionTable) -> DataReport:
    """Read every image and mask of a data set once, and report what it contains."""
    table, prints = dataset.table, Fingerprints.of(dataset.table)
    twins = prints.twins()
    return DataReport(
        name=dataset.name,
        images=len(table),
        lesions=int(table["lesion_id"].nunique()),
        masks=int(table["mask_path"].notna().sum()),
        classes=_counts(table, dataset.classes),
        splits={str(split): _counts(rows, dataset.classes) for split, rows in table.groupby("split")},
        intake=dataset.report,
        leaks=check_split(dataset, twins),
        oddities=_oddities(table, prints, twins),
        shortcuts=shortcuts(table),
    )


def findings(whole: LesionTable, audited: LesionTable) -> pd.DataFrame:
    """The findings on the audited images of a whole data set, with the columns `finding`, `count` and `which`."""
    report = check(audited)
    known = (*report.intake.findings, *report.oddities.findings)
    rows: list[Row] = [
        ("images", report.images, f"of {report.lesions} lesions"),
        ("with a mask", report.masks, ""),
        *((f"class {name}", count, "") for name, count in report.classes.items()),
        *_shared(whole, audited),
        *((finding.what, len(finding.which), first_few(finding.which)) for finding in known),
        *((f"{name} goes with the label", None, f"Cramér's V {v:.2f}") for name, v in report.shortcuts.items()),
    ]
    return pd.DataFrame(rows, columns=["finding", "count", "which"])


def _shared(whole: LesionTable, audited: LesionTable) -> Iterator[Row]:
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
            yield what, len(pairs), first_few(pairs)
        else:
            yield what, None, "not looked for: cfexplain data check reads every picture"


def shortcuts(table: pd.DataFrame) -> dict[str, float]:
    """Cramér's V (bias-corrected) of each categorical column that the label does not determine, the largest first."""
    strength = {}
    for column in table.columns.difference(NO_SHORTCUTS, sort=False):
        known = table[[column, "label"]].dropna()
        values = known[column].astype(str)
        if 2 <= values.nunique() <= 30 and values.groupby(known["label"]).nunique().max() > 1:
            strength[str(column)] = _cramers_v(pd.crosstab(values, known["label"]).to_numpy())
    return dict(sorted(strength.items(), key=lambda item: -item[1]))


def _cramers_v(counts: np.ndarray) -> float:
    """Cramér's V with the bias correction of Bergsma (J. Korean Stat. Soc. 42, 2013)."""
    n, (rows, columns) = counts.sum(), counts.shape
    expected = np.outer(counts.sum(1), counts.sum(0)) / n
    phi = max(0.0, float(((counts - expected) ** 2 / expected).sum() / n) - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(phi / smaller)) if smaller > 0 else 0.0


def _oddities(table: pd.DataFrame, prints: Fingerprints, twins: Sequence[Twin]) -> Report:
    lesion = table["lesion_id"]
    near = [twin for twin in twins if twin.kind == "near-duplicate"]
    paths = table["mask_path"].dropna()
    share = paths.map(lambda path: np.nan if (mask := load_mask_or_none(path)) is None else float(mask.mean()))
    report = Report()
    report.add("images that cannot be read", prints.damaged, "kept; readable() leaves them out")
    odd: dict[str, Iterable[object]] = {
        f"images under {SMALL} pixels a side": [
            i for i, s in zip(prints.ids, prints.sizes, strict=True) if min(s) < SMALL
        ],
        "byte-identical pairs": [twin for twin in twins if twin.kind == "identical"],
        "near-duplicate pairs within one lesion": [t for t in near if lesion[t.first] == lesion[t.second]],
        "near-duplicate pairs of different lesion ids": [t for t in near if lesion[t.first] != lesion[t.second]],
        "masks that are empty or cannot be read": share.index[share.isna()],
        f"masks that cover over {COVERS:.0%} of the image": share.index[share > COVERS],
    }
    for what, which in (odd | _odd_values(table)).items():
        report.add(what, which, "kept")
    return report


def _odd_values(table: pd.DataFrame) -> dict[str, Iterable[object]]:
    ids, lesions = table.index, table.groupby("lesion_id")
    odd: dict[str, Iterable[object]] = {}
    if "age" in table:
        age = pd.to_numeric(table["age"], errors="coerce")
        odd |= {"ages missing": ids[age.isna()], "ages of 0": ids[age == 0]}
    if "sex" in table:
        odd["images of unknown sex"] = ids[~table["sex"].astype(str).str.lower().isin(["male", "female"])]
    odd["images without a label"] = ids[table["label"].isna()]
    for column in table.columns.intersection(["label", "sex"]):
        kinds = lesions[column].nunique()
        odd[f"lesions whose images differ in {column}"] = kinds.index[kinds > 1]
    if "malignant" in table:
        rate = table.groupby("label")["malignant"].transform("mean")
        odd["images whose malignant contradicts their class"] = ids[(rate > 0) & (rate < 1)]
    return odd


def _counts(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    counts = {name: int((table["label"] == name).sum()) for name in classes}
    missing = int(table["label"].isna().sum())
    return counts | ({"no label": missing} if missing else {})
