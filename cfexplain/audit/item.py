"""The items of an audit: one explanation each, of an image, for a classifier and a target."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Classifier, Image

EACH = "each"  # The target that stands for every class in turn.


class Sample(Protocol):
    """What an audit needs of one image; `cfexplain_datasets.Lesion` is one."""

    @property
    def image(self) -> Image: ...  # noqa: D102
    @property
    def mask(self) -> Float[Tensor, "1 h w"] | None: ...  # noqa: D102


class Samples(Protocol):
    """What an audit needs of a data set: row i of `table`, whose index is the image's id, describes sample i.

    The columns label and lesion_id are optional, all others are metadata.
    """

    @property
    def table(self) -> pd.DataFrame: ...  # noqa: D102
    def __getitem__(self, index: int, /) -> Sample: ...


@dataclass(frozen=True)
class Item:
    """One explanation to compute, and one row of the audit."""

    index: int  # Of the sample.
    image_id: str
    target: str  # A class, or "auto" for the second most likely one.
    classifier: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Unique in an audit."""
        return (self.image_id, self.target, self.classifier)

    @property
    def case(self) -> str:
        """Name of the item's folder: characters that every file system takes, and a hash that makes it unique."""
        plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in "--".join(self.key))
        return f"{plain[:80]}--{hashlib.sha256(repr(self.key).encode()).hexdigest()[:8]}"


def chosen(samples: Samples, limit: int | None) -> list[int]:
    """Indices of the audited samples: all, or the `limit` smallest by the hash of their names, whatever the order."""
    hashes = [hashlib.sha256(str(name).encode()).hexdigest() for name in samples.table.index]
    return sorted(sorted(range(len(hashes)), key=hashes.__getitem__)[:limit])


def items(
    samples: Samples, indices: Sequence[int], classifiers: Mapping[str, Classifier], target: str
) -> Iterator[Item]:
    """All items, image by image, so that an unfinished audit has rows of every classifier."""
    for index in indices:
        for name, classifier in classifiers.items():
            for target_class in classifier.classes if target == EACH else [target]:
                yield Item(index, str(samples.table.index[index]), target_class, name)


def batches(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Items of one classifier, `size` at a time; one by one they keep their order."""
    if size > 1:
        items = sorted(items, key=lambda item: item.classifier)
    runs = [list(run) for _, run in groupby(items, key=lambda item: item.classifier)]
    return [run[i : i + size] for run in runs for i in range(0, len(run), size)]
