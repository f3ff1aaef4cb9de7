"""The sample: one lesion image with what is known of it, and tables of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Image

REQUIRED_COLUMNS = ("label", "lesion_id")

_SHORT = {
    "akiec": ("actinic_keratosis", "AK", "AKIEC"),
    "bcc": ("basal_cell_carcinoma", "BCC"),
    "bkl": ("seborrheic_keratosis", "benign_keratosis", "BKL"),
    "df": ("dermatofibroma", "DF"),
    "mel": ("melanoma", "MEL"),
    "nv": ("nevus", "NV"),
    "vasc": ("vascular_lesion", "VASC"),
}
OTHER_NAMES: Mapping[str, str] = {name: short for short, names in _SHORT.items() for name in names} | {
    short: names[0] for short, names in _SHORT.items()
}
"""The other name of a diagnosis: ISIC's long one for HAM10000's short one, and the short one for all others."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """One sample of every data set.

    Attributes:
        id: the image's name, unique in its data set.
        image: RGB in [0, 1] at the picture's own resolution, shape (3, h, w).
        label: index into the data set's `classes`; None where it is not known.
        mask: 1 on the lesion, shape (1, h, w); None where no mask exists.
        lesion_id: images of one lesion share it; splits never part them.
        metadata: everything else that the table says of the image.
    """

    id: str
    image: Image
    label: int | None = None
    mask: Float[Tensor, "1 h w"] | None = None
    lesion_id: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)


class LesionDataset(Protocol):
    """What training, judging and auditing need of a data set.

    `table` is indexed by image id and has at least the columns `label` (class name, None if unknown) and
    `lesion_id`, and `split` (train, val, test) where splits are made; row i describes sample i.
    """

    @property
    def classes(self) -> Sequence[str]:
        """Class names in the order of the labels."""
        ...

    @property
    def table(self) -> pd.DataFrame:
        """One row a sample, in the order of the samples."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Lesion: ...

    def __iter__(self) -> Iterator[Lesion]: ...
