"""Splits that never part a lesion, and the gate that refuses those that leak."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import pandas as pd

from cfexplain_datasets.duplicates import Pair, find_pairs
from cfexplain_datasets.report import SHOWN, DataError, Report
from cfexplain_datasets.table import LesionTable

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Leak:
    """Something that stands on both sides of a split.

    Attributes:
        kind: lesion, identical or near-duplicate.
        first: id of an image.
        second: id of the other.
        splits: where they stand.
    """

    kind: str
    first: str
    second: str
    splits: tuple[str, str]

    def __str__(self) -> str:
        what = "two images of one lesion" if self.kind == "lesion" else self.kind
        return f"{self.first} ({self.splits[0]}) and {self.second} ({self.splits[1]}): {what}"


def with_splits(
    dataset: LesionTable, *, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15), salt: str = "cfexplain"
) -> LesionTable:
    """The data set with a split for every image; a complete official split is kept.

    A lesion's split is a function of its name and the salt alone (sha256 as a number in [0, 1), cut at the
    fractions), so all its images stay together and adding data moves no sample. Each class is split by the same
    fractions in expectation; a class of n lesions misses them by about sqrt(n p (1 - p)) lesions.
    """
    if dataset.table["split"].isin(SPLITS).all():
        return dataset
    drawn = [split_of(str(lesion), fractions, salt) for lesion in dataset.table["lesion_id"]]
    return replace(dataset, table=dataset.table.assign(split=drawn))


def split_of(lesion_id: str, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15), salt: str = "cfexplain") -> str:
    """The split of a lesion.

    Example:
        >>> split_of("HAM_0000550") == split_of("HAM_0000550")
        True
    """
    number = int.from_bytes(hashlib.sha256(f"{salt}:{lesion_id}".encode()).digest()[:8], "big") / 2**64
    if number < fractions[0]:
        return "train"
    return "val" if number < fractions[0] + fractions[1] else "test"


def leaks(dataset: LesionTable, pairs: list[Pair] | None = None) -> list[Leak]:
    """Lesions, identical and nearly identical pictures that stand in two splits; reads every picture once.

    Args:
        dataset: with splits.
        pairs: of `duplicates.find_pairs`, where they are known already.
    """
    table = dataset.table
    found = _parted_lesions(table)
    for pair in find_pairs(list(table["path"])) if pairs is None else pairs:
        sides = (str(table["split"].iloc[pair.first]), str(table["split"].iloc[pair.second]))
        if sides[0] != sides[1]:
            kind = "identical" if pair.identical else "near-duplicate"
            found.append(Leak(kind, str(table.index[pair.first]), str(table.index[pair.second]), sides))
    return found


def refuse_leaks(dataset: LesionTable) -> None:
    """Let a data set through the gate, or name what leaks.

    Raises:
        DataError: a lesion, a picture or its near-duplicate stands in two splits.
    """
    found = leaks(dataset)
    if found:
        named = "; ".join(str(leak) for leak in found[:SHOWN])
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise DataError(
            f"the splits leak, {len(found)} pairs: {named}{more}. Leave them out of training with --drop-leaks "
            "(without_leaks in Python), or mend the split column"
        )


def without_leaks(dataset: LesionTable) -> LesionTable:
    """The data set without the leaking images: each pair loses its training image, or its validation image."""
    order = {"train": 0, "val": 1, "test": 2}
    dropped = {min((leak.splits[0], leak.first), (leak.splits[1], leak.second), key=lambda s: order[s[0]])[1]
               for leak in leaks(dataset)}  # fmt: skip
    if not dropped:
        return dataset
    report = Report(list(dataset.report.findings))
    report.add("images that also stand in another split", sorted(dropped), "left out")
    return without_leaks(replace(dataset, table=dataset.table.drop(index=list(dropped)), report=report))


def _parted_lesions(table: pd.DataFrame) -> list[Leak]:
    """One leak for each pair of splits that a lesion stands in."""
    found = []
    firsts = table.reset_index(names="id").drop_duplicates(["lesion_id", "split"])
    for _, rows in firsts[firsts["lesion_id"].duplicated(keep=False)].groupby("lesion_id"):
        ids, splits = rows["id"].astype(str).tolist(), rows["split"].astype(str).tolist()
        found += [Leak("lesion", ids[0], ids[k], (splits[0], splits[k])) for k in range(1, len(ids))]
    return found
