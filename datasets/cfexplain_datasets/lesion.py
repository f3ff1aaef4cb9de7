"""One lesion image with everything known about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Image

_LONG_NAMES = {
    "akiec": ("actinic_keratosis", "AK", "AKIEC"),
    "bcc": ("basal_cell_carcinoma", "BCC"),
    "bkl": ("seborrheic_keratosis", "benign_keratosis", "BKL"),
    "df": ("dermatofibroma", "DF"),
    "mel": ("melanoma", "MEL"),
    "nv": ("nevus", "NV"),
    "vasc": ("vascular_lesion", "VASC"),
}
# The other name of a diagnosis: ISIC's long name for HAM10000's short one, and the short one for any other.
OTHER_NAMES: Mapping[str, str] = {name: short for short, names in _LONG_NAMES.items() for name in names} | {
    short: names[0] for short, names in _LONG_NAMES.items()
}


@dataclass(frozen=True, eq=False)
class Lesion:
    """One sample of a data set.

    Attributes:
        id: name of the image, unique in its data set.
        image: RGB in [0, 1] at its own resolution, shape (3, h, w).
        label: index into the data set's `classes`; None if unknown.
        mask: 1 on the lesion, shape (1, h, w); None if there is no mask.
        lesion_id: shared by the images of one lesion; splits keep them together.
        metadata: all other columns of the data set's table.
    """

    id: str
    image: Image
    label: int | None = None
    mask: Float[Tensor, "1 h w"] | None = None
    lesion_id: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
