"""Skin tone around a lesion: the individual typology angle (ITA) and its six classes."""

import math

import numpy as np
from scipy import ndimage

from cfexplain.dermoscopy.artefacts.scene import Scene, corners
from cfexplain.dermoscopy.segment import as_array, as_mask, lab, pixels
from cfexplain.types import Image, Mask

MARGIN = 5  # Pixels at `REFERENCE_SIDE` around the lesion and the dark corners that do not count as skin: borders fade.
# Each class with the angle, in degrees, that its members exceed; the first that fits is the tone.
TONES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -math.inf}


def ita(image: Image, lesion: Mask, exclude: Mask | None = None) -> float:
    """The individual typology angle of the skin, in degrees: the larger, the lighter; NaN with too little skin.

    ITA = arctan((L* - 50) / b*) 180 / pi of each skin pixel, then the median. Skin is what is neither lesion nor dark
    corner, nor within `MARGIN` of either, nor excluded; less than 2 % of the image is too little.

    Limits: white balance and exposure enter, so the angle is only a proxy of the person's skin. Where b* is not
    positive, as in bluish images, it has no meaning, and is 90 or -90 degrees, with the sign of L* - 50.

    Args:
        image: RGB in [0, 1].
        lesion: 1 on the lesion; all zeros where there is none.
        exclude: 1 on what else is not skin, such as artefacts.

    Raises:
        TypeError, ValueError: not an image, see `check_images`; a mask has another size.

    Example:
        >>> import torch
        >>> skin = torch.tensor([0.9, 0.75, 0.65])[:, None, None].expand(3, 32, 32)
        >>> angle = ita(skin, torch.zeros(1, 32, 32))
        >>> round(angle), tone(angle)
        (59, 'very light')

    Source: A. Chardon et al., "Skin colour typology and suntanning pathways", Int. J. Cosmetic Science 13, 1991; N.
    Kinyanjui et al., "Fairness of classifiers across skin tones in dermatology", MICCAI 2020, for the use on ISIC.
    """
    scene = Scene(image)
    other = as_mask(lesion, image) | as_mask(scene.mask(corners(scene)), image)
    skin = ndimage.distance_transform_edt(~other) > pixels(other, MARGIN) if other.any() else ~other
    if exclude is not None:
        skin &= ~as_mask(exclude, image)
    if skin.mean() < 0.02:
        return math.nan
    lightness, _, blue_yellow = lab(as_array(image)[skin][None])[0].T
    return float(np.median(np.degrees(np.arctan2(lightness - 50, np.maximum(blue_yellow, 0)))))


def tone(angle: float) -> str:
    """The class of an individual typology angle in degrees (`TONES`); NaN is `unknown`.

    Example:
        >>> tone(60), tone(20), tone(-40), tone(float("nan"))
        ('very light', 'tan', 'dark', 'unknown')
    """
    return next((name for name, above in TONES.items() if angle > above), "unknown")
