"""Training, validation and test: splits that never part a lesion, and the gate that refuses leaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from cfexplain_datasets.fingerprint import Fingerprints, Twin
from cfexplain_datasets.lesion import LesionDataset
from cfexplain_datasets.report import DataError, Report
from cfexplain_datasets.table import LesionTable, split_named

SPLITS = ("train", "val", "test")
FRACTIONS = (0.7, 0.15, 0.15)
_SHOWN = 5


@dataclass(frozen=True)
class Leak:
    """Two images on different sides of a split that should be on one.

    Attributes:
        kind: what they share: lesion, identical (the same file) or near-duplicate (the same photograph).
        first: id.
        second: id.
        sides: the splits of the two.
        likeness: of a near-duplicate, see `Twin`; 1 otherwise.
    """

    kind: Literal["lesion", "identical", "near-duplicate"]
    first: str
    second: str
    sides: tuple[str, str]
    likeness: float = 1.0

    def __str__(self) -> str:
        return f"{self.first} ({self.sides[0]}) and {self.second} ({self.sides[1]}): {self.kind}"


def side_of(lesion_id: str, fractions: Sequence[float] = FRACTIONS, salt: str = "") -> str:
    """The split of a lesion, by a hash of its id alone.

    More lesions, in any order and on any machine, move none. The hash knows nothing of the class, so every
    class is divided by the same fractions up to chance.

    Example:
        >>> side_of("HAM_0000550"), side_of("HAM_0003577", (0.0, 0.0, 1.0))
        ('train', 'test')
    """
    digest = hashlib.sha256(f"{salt}/{lesion_id}".encode()).digest()
    at = int.from_bytes(digest[:8], "big") / 2**64 * sum(fractions)
    below = 0.0
    for side, fraction in zip(SPLITS, fractions, strict=True):
        below += fraction
        if at < below:
            return side
    return SPLITS[-1]


def assign_splits(dataset: LesionTable, fractions: Sequence[float] = FRACTIONS, salt: str = "") -> LesionTable:
    """The data set with a new split, whatever it had; no lesion is parted.

    Args:
        dataset: to be split.
        fractions: of train, val and test; scaled to a sum of 1.
        salt: another one makes another split.

    Raises:
        ValueError: the fractions are not three numbers >= 0 with a positive sum.
    """
    if len(fractions) != 3 or min(fractions) < 0 or sum(fractions) <= 0:
        raise ValueError(f"fractions of train, val and test must be >= 0 and not all 0, got {tuple(fractions)}")
    sides = [side_of(str(lesion), fractions, salt) for lesion in dataset.table["lesion_id"]]
    return _with(dataset, sides)


def with_splits(dataset: LesionTable) -> LesionTable:
    """The data set with a complete split: its own where it has one, ours where it has none.

    An official split is honoured. Samples without one follow their lesion's other images, or the hash. Where
    an official split has no val, the hash takes it from train (so that test stays as published); where all
    samples are on one side, that is no split and is replaced.
    """
    table = dataset.table
    named = table["split"].map(split_named)
    own = named.where(named.isin(list(SPLITS)))
    if own.nunique() < 2:
        return assign_splits(dataset)
    known = own.groupby(table["lesion_id"]).first()
    lesions = table["lesion_id"].astype(str)
    sides = [s if isinstance(s, str) else _follow(known.get(k), k) for s, k in zip(own, lesions, strict=True)]
    if "val" not in sides:
        kept = FRACTIONS[:2]
        sides = [side_of(k, (*kept, 0.0)) if s == "train" else s for s, k in zip(sides, lesions, strict=True)]
    return _with(dataset, sides)


def check_split(
    dataset: LesionDataset, prints: Fingerprints | None = None, twins: Sequence[Twin] | None = None
) -> list[Leak]:
    """All pairs that a split must not part and parts: one lesion, one file, one photograph.

    Args:
        dataset: with a column `split`; samples without a split are passed over.
        prints: fingerprints made before, to save reading every picture again.
        twins: found before, to save the search too.
    """
    table = dataset.table
    if twins is None:
        twins = (prints or Fingerprints.of(dataset)).twins()
    return [*_parted_lesions(table), *_parted_twins(table, twins)]


def refuse_leaks(dataset: LesionDataset, prints: Fingerprints | None = None) -> None:
    """Pass a split without leaks.

    Raises:
        DataError: there are leaks; the message names them and says what to do.
    """
    leaks = check_split(dataset, prints)
    if leaks:
        named = "; ".join(map(str, leaks[:_SHOWN]))
        more = f"; and {len(leaks) - _SHOWN} more" if len(leaks) > _SHOWN else ""
        raise DataError(
            f"{len(leaks)} pairs stand on both sides of the split, so that any judgement is too good: {named}{more}. "
            "Leave the training side out with --drop-leaks (without_leaks in Python), or mend the split column"
        )


def without_leaks(
    dataset: LesionTable, by: Literal["move", "drop"] = "drop", prints: Fingerprints | None = None
) -> LesionTable:
    """The data set without leaks; what was done is in its report.

    Lesions that belong together end, with all their images, on the most protected of their sides (test before
    val before train), so that a published test set loses nothing.

    Args:
        dataset: with a column `split`.
        by: "drop" leaves the images on the other sides out (a published test set stays exactly as it is);
            "move" moves them to that side.
        prints: fingerprints made before.
    """
    leaks = check_split(dataset, prints)
    table, rank = dataset.table, {side: i for i, side in enumerate(SPLITS)}
    goal: dict[str, str] = {}
    whole = table["lesion_id"].astype(str)
    lesions = whole.index.to_series().astype(str).groupby(whole).apply(list)
    for group in _groups((whole[leak.first], whole[leak.second]) for leak in leaks):
        group = {i for lesion in group for i in lesions[lesion]}
        side = max((str(table.at[i, "split"]) for i in group), key=lambda s: rank.get(s, -1))
        goal |= {i: side for i in group if table.at[i, "split"] != side}
    report = Report(list(dataset.report.findings))
    what = "images whose lesion or photograph is also on a more protected side of the split"
    report.add(what, goal, "left out" if by == "drop" else "moved there")
    if by == "drop":
        return replace(dataset, table=table.drop(index=list(goal)), report=report)
    sides = [goal.get(str(i), s) for i, s in zip(table.index, table["split"], strict=True)]
    return replace(_with(dataset, sides), report=report)


def _with(dataset: LesionTable, sides: Sequence[str]) -> LesionTable:
    return replace(dataset, table=dataset.table.assign(split=pd.Series(list(sides), dataset.table.index, dtype=object)))


def _follow(side: object, lesion_id: str) -> str:
    return side if isinstance(side, str) else side_of(lesion_id)


def _parted_lesions(table: pd.DataFrame) -> list[Leak]:
    """Of each lesion on several sides, its first image with the first image of each other side."""
    known = table[table["split"].notna()]
    spread = known.groupby("lesion_id")["split"].transform("nunique")
    leaks = []
    for _, images in known[spread > 1].groupby("lesion_id"):
        a, *others = [(str(i), str(s)) for i, s in images["split"].items()]
        leaks += [Leak("lesion", a[0], b[0], (a[1], b[1])) for b in others if b[1] != a[1]]
    return leaks


def _parted_twins(table: pd.DataFrame, twins: Iterable[Twin]) -> list[Leak]:
    sides = {str(i): s for i, s in table["split"].items() if isinstance(s, str)}
    lesions = {str(i): k for i, k in table["lesion_id"].items()}
    return [
        Leak("identical" if t.identical else "near-duplicate", t.first, t.second, (a, b), t.likeness)
        for t in twins
        if (a := sides.get(t.first)) and (b := sides.get(t.second)) and a != b
        if lesions[t.first] != lesions[t.second]
    ]


def _groups(pairs: Iterable[tuple[str, str]]) -> list[set[str]]:
    """Connected components."""
    groups: list[set[str]] = []
    for pair in pairs:
        touched = [g for g in groups if g & set(pair)]
        groups = [g for g in groups if not g & set(pair)]
        groups.append(set(pair).union(*touched))
    return groups
