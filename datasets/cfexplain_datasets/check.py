"""A look at a data set before it is used: counts, classes, splits, leaks, oddities."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cfexplain.images import ImageError, load_mask
from cfexplain_datasets.duplicates import Pair, find_pairs
from cfexplain_datasets.report import SHOWN, Finding
from cfexplain_datasets.splits import SPLITS, Leak, leaks, with_splits
from cfexplain_datasets.table import OWN_COLUMNS, LesionTable

WHOLE_MASK = 0.95
SHORTCUT = 0.3
"""Columns that are associated with the label at least this strongly (Cramer's V) are named."""


@dataclass(frozen=True)
class DataReport:
    """What `check` found.

    Attributes:
        name: of the data set.
        images: how many.
        lesions: how many.
        counts: images by class and split.
        leaks: what stands in two splits.
        oddities: everything else that is worth knowing.
        shortcuts: Cramer's V of columns with the label, strongest first.
    """

    name: str
    images: int
    lesions: int
    counts: dict[str, dict[str, int]]
    leaks: tuple[Leak, ...]
    oddities: tuple[Finding, ...]
    shortcuts: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        columns = [*SPLITS, "all"]
        lines = [f"{self.name}: {self.images:,} images of {self.lesions:,} lesions", ""]
        lines.append(f"{'class':<22}" + "".join(f"{c:>8}" for c in columns))
        for name, counts in self.counts.items():
            lines.append(f"{name:<22}" + "".join(f"{counts.get(c, 0):>8}" for c in columns))
        lines += ["", "leaks: " + ("none" if not self.leaks else f"{len(self.leaks)} pairs stand in two splits")]
        lines += [f"  {leak}" for leak in self.leaks[:SHOWN]]
        lines += ["oddities:" if self.oddities else "oddities: none", *(f"  {o}" for o in self.oddities)]
        if self.shortcuts:
            named = ", ".join(f"{k} {v:.2f}" for k, v in self.shortcuts.items())
            lines.append(f"columns that tell the label, and could tell a classifier (Cramer's V): {named}")
        return "\n".join(lines)


def check(dataset: LesionTable) -> DataReport:
    """Look at every picture and mask of a data set once, and say what a person should know before using it."""
    dataset = with_splits(dataset)
    pairs = find_pairs(list(dataset.table["path"]))
    return DataReport(
        name=dataset.name,
        images=len(dataset),
        lesions=int(dataset.table["lesion_id"].nunique()),
        counts=_counts(dataset),
        leaks=tuple(leaks(dataset, pairs)),
        oddities=(*dataset.report.findings, *_odd_pictures(dataset, pairs), *_odd_rows(dataset.table)),
        shortcuts=shortcuts(dataset.table),
    )


def shortcuts(table: pd.DataFrame) -> dict[str, float]:
    """Columns of few values that are associated with the label, with Cramer's V (bias-corrected, 0 to 1)."""
    found = {}
    for column in table.columns.difference(OWN_COLUMNS):
        if 1 < table[column].nunique() <= 30 and table[column].nunique() < len(table) / 5:
            strength = cramers_v(table[column].astype(str), table["label"].astype(str))
            if strength >= SHORTCUT:
                found[str(column)] = round(strength, 3)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def cramers_v(a: pd.Series[str], b: pd.Series[str]) -> float:
    """Association of two columns of names: 0 independent, 1 one tells the other.

    Source: Bergsma, "A bias-correction for Cramer's V", J. Korean Stat. Soc. 42 (2013).
    """
    counts = pd.crosstab(a, b).to_numpy(dtype=float)
    n, (r, c) = counts.sum(), counts.shape
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / n
    phi = float(((counts - expected) ** 2 / expected).sum() / n)
    phi = max(0.0, phi - (r - 1) * (c - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    return float(np.sqrt(phi / max(min(rows, columns) - 1, 1e-9)))


def _counts(dataset: LesionTable) -> dict[str, dict[str, int]]:
    table = dataset.table.assign(label=dataset.table["label"].fillna("(no label)"))
    crossed = pd.crosstab(table["label"], table["split"])
    names = [*dataset.classes, *(["(no label)"] if "(no label)" in crossed.index else [])]
    counts = {
        n: {s: int(crossed[s].get(n, 0)) if s in crossed else 0 for s in SPLITS}
        for n in names  # type: ignore[call-overload]
    }
    return {n: {**c, "all": sum(c.values())} for n, c in counts.items()}


def _odd_pictures(dataset: LesionTable, pairs: list[Pair]) -> list[Finding]:
    ids, lesions = dataset.table.index.astype(str), dataset.table["lesion_id"].tolist()
    whole, damaged = [], []
    for name, path in dataset.table["mask_path"].dropna().items():
        try:
            if float(load_mask(path).mean()) > WHOLE_MASK:
                whole.append(str(name))
        except ImageError:
            damaged.append(str(name))
    named = {
        "byte-identical pairs": [f"{ids[p.first]} = {ids[p.second]}" for p in pairs if p.identical],
        "near-duplicate pairs of one lesion": [
            f"{ids[p.first]} ~ {ids[p.second]}"
            for p in pairs
            if not p.identical and lesions[p.first] == lesions[p.second]
        ],
        "near-duplicate pairs of different lesions": [
            f"{ids[p.first]} ~ {ids[p.second]}"
            for p in pairs
            if not p.identical and lesions[p.first] != lesions[p.second]
        ],
        f"masks that cover over {WHOLE_MASK:.0%} of the picture": whole,
        "masks that are empty or damaged": damaged,
    }
    return [Finding(what, tuple(which), "kept") for what, which in named.items() if which]


def _odd_rows(table: pd.DataFrame) -> list[Finding]:
    named: dict[str, pd.Series[bool]] = {"images without a label": table["label"].isna()}
    labels = table.groupby("lesion_id")["label"].transform("nunique")
    named["images of lesions with several labels"] = labels > 1
    if "age" in table:
        named["ages missing"] = table["age"].isna()
        named["ages of 0"] = table["age"] == 0
    if "sex" in table:
        named["images of unknown sex"] = table["sex"].isna() | (table["sex"].astype(str).str.lower() == "unknown")
    return [Finding(what, tuple(table.index[bad].astype(str)), "kept") for what, bad in named.items() if bad.any()]
