"""Training, validation and test: splits that keep a lesion together, and checks for leaks between them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from cfexplain_datasets.fingerprint import Fingerprints, Twin
from cfexplain_datasets.report import DataError, first_few
from cfexplain_datasets.table import SPLITS, LesionTable

FRACTIONS = (0.7, 0.15, 0.15)


@dataclass(frozen=True)
class Leak:
    """Two images in different splits that show one lesion, are one file, or show one photograph."""

    kind: str  # lesion, identical or near-duplicate
    first: str
    second: str
    sides: tuple[str, str]  # the splits of the two

    def __str__(self) -> str:
        return f"{self.first} ({self.sides[0]}) and {self.second} ({self.sides[1]}): {self.kind}"


def hashed_split(lesion_id: str, fractions: Sequence[float] = FRACTIONS) -> str:
    """The split of a lesion by a hash of its id alone: it does not depend on the machine or on the other lesions.

    The fractions are those of train, val and test, scaled to a sum of 1.

    Example:
        >>> hashed_split("HAM_0000550"), hashed_split("HAM_0003577", (0.0, 0.0, 1.0))
        ('train', 'test')
    """
    digest = hashlib.sha256(f"/{lesion_id}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64 * sum(fractions)
    bounds = zip(SPLITS, accumulate(fractions), strict=True)
    return next((split for split, bound in bounds if position < bound), SPLITS[-1])


def with_splits(dataset: LesionTable) -> LesionTable:
    """The data set with a split of every sample: its own, else that of its lesion's other images, else `hashed_split`.

    If the official split has no val, the hash takes it from train. If all samples are in one split, it is replaced.
    """
    table = dataset.table
    lesions = table["lesion_id"].astype(str)
    split = table["split"].where(table["split"].isin(SPLITS))
    official, hashed = split.nunique() > 1, lesions.map(hashed_split)
    split = split.fillna(split.groupby(lesions).transform("first")).fillna(hashed) if official else hashed
    if official and "val" not in set(split):
        split = split.where(split != "train", lesions.map(lambda lesion: hashed_split(lesion, (*FRACTIONS[:2], 0.0))))
    return replace(dataset, table=table.assign(split=split.astype(object)))


def check_split(dataset: LesionTable, twins: Sequence[Twin] | None = None) -> list[Leak]:
    """All pairs of images in different splits that show one lesion, or are one file or one photograph.

    Unless `twins` gives the pairs of one photograph, every image is read to find them.
    """
    table = dataset.table.dropna(subset="split")
    lesion, split = table["lesion_id"], table["split"]
    twins = Fingerprints.of(dataset.table).twins() if twins is None else twins
    pairs = [("lesion", ids[0], other) for ids in table.groupby("lesion_id").groups.values() for other in ids[1:]]
    pairs += [(t.kind, t.first, t.second) for t in twins if lesion.get(t.first) != lesion.get(t.second)]
    known = [(kind, a, b) for kind, a, b in pairs if a in split.index and b in split.index]
    return [Leak(kind, a, b, (split[a], split[b])) for kind, a, b in known if split[a] != split[b]]


def refuse_leaks(dataset: LesionTable) -> None:
    """Raise a `DataError` that lists the leaks of a split, if there are any."""
    if leaks := check_split(dataset):
        raise DataError(
            f"{len(leaks)} pairs of images are in two splits, so that any measure would look better than it is: "
            f"{first_few(leaks, '; ', '; and ')}. "
            "Leave one side out with --drop-leaks (without_leaks in Python), or correct the split column"
        )


def without_leaks(dataset: LesionTable) -> LesionTable:
    """The data set without the images that leak, which its report lists.

    Of lesions that leaks connect, the images in the most protected split stay: test before val before train.
    """
    table, leaks = dataset.table, check_split(dataset)
    group = table["lesion_id"].astype(str)
    for leak in (leak for leak in leaks if leak.kind != "lesion"):
        group = group.replace(group[leak.second], group[leak.first])
    rank = table["split"].map({split: i for i, split in enumerate(SPLITS)}).fillna(-1)
    leaking = group.isin(group[[leak.first for leak in leaks]])
    dropped = leaking & (rank < rank.groupby(group).transform("max"))
    return dataset.without("images whose lesion or photograph is also in a more protected split", table.index[dropped])
