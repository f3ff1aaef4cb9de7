"""Looking at a data set before it is used: counts, classes, splits, leaks, oddities, shortcuts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cfexplain.images import ImageError, load_mask
from cfexplain_datasets.fingerprint import Fingerprints, Twin
from cfexplain_datasets.lesion import LesionDataset
from cfexplain_datasets.report import SHOWN, Finding, Report
from cfexplain_datasets.splits import Leak, check_split

SMALL = 64
"""Pictures with a shorter side than this hide what dermoscopy shows."""

COVERS = 0.95
"""Masks that cover more than this share of their picture leave no skin beside the lesion."""

SHORTCUT = 0.2
"""Columns with a larger Cramér's V predict the label well enough to be named."""

_KEYS = ("label", "lesion_id", "path", "mask_path", "split", "near_duplicate_of", "patient_id")


@dataclass(frozen=True, eq=False)
class DataReport:
    """What a data set holds, and what is odd about it.

    Attributes:
        name: of the data set.
        images: number of images.
        lesions: number of lesions.
        masks: number of images with a mask.
        classes: number of images of each class, and of those without a label.
        splits: the same for each split.
        intake: what the reader found and did.
        leaks: pairs that the split parts.
        oddities: what a person should know before training on it.
        shortcuts: Cramér's V of columns with the label, the largest first.
    """

    name: str
    images: int
    lesions: int
    masks: int
    classes: Mapping[str, int]
    splits: Mapping[str, Mapping[str, int]]
    intake: Report
    leaks: tuple[Leak, ...] = ()
    oddities: tuple[Finding, ...] = ()
    shortcuts: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        leaks = [{"kind": k.kind, "ids": [k.first, k.second], "sides": list(k.sides)} for k in self.leaks]
        return {
            "name": self.name,
            "images": self.images,
            "lesions": self.lesions,
            "masks": self.masks,
            "classes": dict(self.classes),
            "splits": {k: dict(v) for k, v in self.splits.items()},
            "intake": self.intake.to_dict(),
            "leaks": leaks,
            "oddities": Report(list(self.oddities)).to_dict(),
            "shortcuts": dict(self.shortcuts),
        }

    def __str__(self) -> str:
        head = f"{self.name}: {self.images} images of {self.lesions} lesions, {self.masks} with a mask"
        parts = [head, _grid(self.classes, self.splits), f"intake: {str(self.intake).replace(chr(10), chr(10) + '  ')}"]
        parts += [_leaks(self.leaks) if self.splits else "leaks: there is no split yet"]
        parts += [f"odd: {finding}" for finding in self.oddities]
        strong = {k: v for k, v in self.shortcuts.items() if v >= SHORTCUT}
        parts += [
            f"shortcut: {k} goes with the label (Cramér's V {v:.2f}); a classifier may learn it in place of the lesion"
            for k, v in strong.items()
        ]
        return "\n".join(parts)


def check(dataset: LesionDataset, progress: Callable[[int], object] | None = None) -> DataReport:
    """Read a data set through and say what it holds.

    Every picture and every mask is read once; `progress` is called with the number of pictures done.

    Example:
        >>> from cfexplain_datasets.synthetic import SyntheticLesions
        >>> check(SyntheticLesions(4, size=32)).images
        4
    """
    table = dataset.table
    prints = Fingerprints.of(dataset, progress)
    twins = prints.twins()
    split = table["split"].notna().any() if "split" in table else False
    return DataReport(
        name=str(getattr(dataset, "name", "") or type(dataset).__name__),
        images=len(table),
        lesions=int(table["lesion_id"].nunique()),
        masks=int(table["mask_path"].notna().sum()) if "mask_path" in table else 0,
        classes=_counts(table, dataset.classes),
        splits={str(s): _counts(rows, dataset.classes) for s, rows in table.groupby("split")} if split else {},
        intake=getattr(dataset, "report", Report()),
        leaks=tuple(check_split(dataset, twins=twins)) if split else (),
        oddities=tuple(_oddities(table, prints, twins)),
        shortcuts=shortcuts(table),
    )


def shortcuts(table: pd.DataFrame) -> dict[str, float]:
    """Cramér's V (bias-corrected) of each categorical column with the label, the largest first.

    Columns that the label itself determines, such as malignant, are left out: they are no cause but a summary.
    """
    found = {}
    for column in table.columns:
        known = table[table[column].notna() & table["label"].notna()] if column not in _KEYS else table.iloc[:0]
        values = known[column].astype(str) if len(known) else pd.Series(dtype=str)
        if not 2 <= values.nunique() <= 30 or values.groupby(known["label"]).nunique().max() < 2:
            continue
        found[str(column)] = _cramers_v(pd.crosstab(values, known["label"]).to_numpy())
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _cramers_v(counts: np.ndarray) -> float:
    """Cramér's V with Bergsma's correction of its bias."""
    n = counts.sum()
    expected = np.outer(counts.sum(1), counts.sum(0)) / n
    rows, columns = counts.shape
    phi = max(0.0, float(((counts - expected) ** 2 / expected).sum() / n) - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(phi / smaller)) if smaller > 0 else 0.0


def _oddities(table: pd.DataFrame, prints: Fingerprints, twins: list[Twin]) -> list[Finding]:
    """Everything odd, as findings; what was done is always: kept."""
    report = Report()
    small = [i for i, size in zip(prints.ids, prints.sizes, strict=True) if min(size) < SMALL]
    lesion = {str(i): k for i, k in table["lesion_id"].items()}
    near = [t for t in twins if not t.identical]
    report.add("images that cannot be read", prints.damaged, "kept; readable() leaves them out")
    report.add(f"images under {SMALL} pixels a side", small, "kept")
    report.add("byte-identical pairs", [_pair(t) for t in twins if t.identical], "kept")
    within = [_pair(t) for t in near if lesion[t.first] == lesion[t.second]]
    across = [_pair(t) for t in near if lesion[t.first] != lesion[t.second]]
    report.add("near-duplicate pairs within one lesion", within, "kept")
    report.add("near-duplicate pairs of different lesion ids", across, "kept")
    _mask_oddities(table, report)
    _value_oddities(table, report)
    return report.findings


def _mask_oddities(table: pd.DataFrame, report: Report) -> None:
    if "mask_path" not in table:
        return
    broken, wide = [], []
    for name, path in table["mask_path"].dropna().items():
        try:
            share = float(load_mask(str(path)).mean())
        except ImageError:
            broken.append(name)
        else:
            wide += [name] if share > COVERS else []
    report.add("masks that are empty or cannot be read", broken, "kept")
    report.add(f"masks that cover over {COVERS:.0%} of the image", wide, "kept")


def _value_oddities(table: pd.DataFrame, report: Report) -> None:
    if "age" in table:
        age = pd.to_numeric(table["age"], errors="coerce")
        report.add("ages missing", table.index[age.isna()], "kept")
        report.add("ages of 0", table.index[age == 0], "kept")
    if "sex" in table:
        sex = table["sex"].astype(str).str.lower()
        report.add("images of unknown sex", table.index[~sex.isin(["male", "female"])], "kept")
    report.add("images without a label", table.index[table["label"].isna()], "kept")
    for column in ("label", "sex"):
        if column in table:
            kinds = table.groupby("lesion_id")[column].nunique()
            report.add(f"lesions whose images differ in {column}", kinds.index[kinds > 1], "kept")
    if "malignant" in table:
        rate = table.groupby("label")["malignant"].transform("mean")
        report.add("images whose malignant contradicts their class", table.index[(rate > 0) & (rate < 1)], "kept")


def _counts(table: pd.DataFrame, classes: Any) -> dict[str, int]:
    counted = table["label"].value_counts()
    missing = int(table["label"].isna().sum())
    return {**{str(c): int(counted.get(c, 0)) for c in classes}, **({"no label": missing} if missing else {})}


def _pair(twin: Twin) -> str:
    return f"{twin.first} = {twin.second}"


def _leaks(leaks: tuple[Leak, ...]) -> str:
    if not leaks:
        return "leaks: none"
    more = f"; and {len(leaks) - SHOWN} more" if len(leaks) > SHOWN else ""
    return f"leaks: {len(leaks)} pairs ({'; '.join(map(str, leaks[:SHOWN]))}{more})"


def _grid(classes: Mapping[str, int], splits: Mapping[str, Mapping[str, int]]) -> str:
    """Classes by split, in columns."""
    sides = {s: dict(splits[s]) for s in ("train", "val", "test") if s in splits}
    table = pd.DataFrame({"all": dict(classes), **sides})
    return table.fillna(0).astype(int).to_string()
