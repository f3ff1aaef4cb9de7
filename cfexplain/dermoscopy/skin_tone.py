"""How light is the skin around a lesion? The individual typology angle and its six classes."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from torch import Tensor

from cfexplain.dermoscopy.artefacts import dark_corner
from cfexplain.dermoscopy.segment import REFERENCE_SIDE, Array, as_array
from cfexplain.images import check_images
from cfexplain.types import Image

MARGIN = 5
"""Pixels around the lesion and dark corners, at `REFERENCE_SIDE`, that are not yet skin: borders fade."""

LEAST = 0.02
"""With fewer skin pixels than this share of the picture there is no answer."""

TONES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -math.inf}
"""Each class with the angle, in degrees, that its members exceed; the first that fits is the tone."""


def ita(picture: Image, lesion: Float[Tensor, "1 h w"], exclude: Float[Tensor, "1 h w"] | None = None) -> float:
    """The individual typology angle of the skin, in degrees: the larger, the lighter; NaN with too little skin.

    ITA = arctan((L* - 50) / b*) 180 / pi, of each pixel of skin, then the median. Skin is what is neither lesion
    nor dark corner, nor within `MARGIN` of one, nor excluded.

    Limits: the camera's white balance and exposure enter, so this is the tone of the picture and only a proxy of the
    person's. Where b* is not positive, as in bluish pictures, the formula has no meaning; the angle is then 90 or -90
    degrees, with the sign of L* - 50: an angle near 90 says little but that the picture is bluish.

    Args:
        picture: RGB in [0, 1], shape (3, h, w).
        lesion: 1 on the lesion, shape (1, h, w); all zeros where there is none.
        exclude: 1 on what else is not skin, such as the artefacts found, shape (1, h, w).

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`; a mask has another size.

    Example:
        >>> import torch
        >>> skin = torch.tensor([0.9, 0.75, 0.65])[:, None, None].expand(3, 32, 32)
        >>> angle = ita(skin, torch.zeros(1, 32, 32))
        >>> round(angle), tone(angle)
        (59, 'very light')

    Source: A. Chardon et al., "Skin colour typology and suntanning pathways", Int. J. Cosmetic Science 13, 1991; N.
    Kinyanjui et al., "Fairness of classifiers across skin tones in dermatology", MICCAI 2020, for the use on ISIC.
    """
    from skimage.color import rgb2lab

    check_images(picture[None])
    skin = ~_widened(_booleans(lesion, picture) | _booleans(dark_corner(picture), picture))
    if exclude is not None:
        skin &= ~_booleans(exclude, picture)
    if skin.mean() < LEAST:
        return math.nan
    lab = rgb2lab(as_array(picture)[skin][None])[0]
    return float(np.median(np.degrees(np.arctan2(lab[:, 0] - 50, np.maximum(lab[:, 2], 0)))))


def tone(angle: float) -> str:
    """The class of an individual typology angle: very light > 55, light > 41, intermediate > 28, tan > 10, brown > -30.

    Args:
        angle: degrees, as of `ita`; NaN is `unknown`.

    Example:
        >>> tone(60), tone(20), tone(-40), tone(float("nan"))
        ('very light', 'tan', 'dark', 'unknown')
    """
    return next((name for name, above in TONES.items() if angle > above), "unknown")


def _booleans(mask: Tensor, picture: Image) -> Array:
    if mask.numel() != picture[0].numel() or mask.shape[-2:] != picture.shape[-2:]:
        height, width = picture.shape[-2:]
        raise ValueError(f"the mask must have shape (1, {height}, {width}), got {tuple(mask.shape)}")
    return np.asarray(mask.detach().cpu().reshape(picture.shape[-2:]).numpy() > 0.5)


def _widened(lesion: Array) -> Array:
    from scipy import ndimage

    reach = max(1, round(MARGIN * min(lesion.shape) / REFERENCE_SIDE))
    return np.asarray(ndimage.distance_transform_edt(~lesion) <= reach) if lesion.any() else lesion
