"""Surgical marker and coloured stickers."""

from __future__ import annotations

import numpy as np

from cfexplain.dermoscopy.artefacts.corner import corners
from cfexplain.dermoscopy.artefacts.scene import Mask, Scene, large_parts
from cfexplain.dermoscopy.segment import Array
from cfexplain.types import Image


def ink(picture: Image) -> Mask:
    """Surgical marker and coloured stickers, blue, violet or green: 1 on them, shape (1, h, w).

    In CIELAB: hue between green (95 degrees) and violet (320), chroma above 20 (above 70 for yellow-green), more than
    22 from the picture's median colour, and darker than it by 12, or vivid. The blue-grey of lesions has less chroma.

    Limits: blue naevi and bloody tumours may reach it (`find_artefacts` with the lesion's mask leaves them out); faded
    pen, and pen so dark or so red that its hue is that of vessels, is missed; its strokes may then be called hair.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`.

    Example:
        >>> skin = torch.tensor([0.85, 0.65, 0.6])[:, None, None].repeat(1, 90, 120)
        >>> skin[:, 20:40, 20:40] = torch.tensor([0.35, 0.2, 0.6])[:, None, None]
        >>> found = ink(skin)
        >>> float(found[0, 30, 30]), float(found[0, 60, 80])
        (1.0, 0.0)

    Source: ours; measured by experiments/artefacts.py.
    """
    scene = Scene(picture)
    return scene.mask(scene.once(inked))


def inked(scene: Scene) -> Array:
    """True on ink."""
    import cv2

    lightness, green_red, blue_yellow = np.moveaxis(scene.lab, 2, 0)
    seen = ~scene.once(corners)
    skin = np.median(scene.lab[seen], 0) if seen.any() else np.zeros(3)
    hue, chroma = np.degrees(np.arctan2(blue_yellow, green_red)) % 360, np.hypot(green_red, blue_yellow)
    step = np.hypot(green_red - skin[1], blue_yellow - skin[2])
    darker = (skin[0] - lightness > 12) | (chroma > 45)
    found = (hue > 95) & (hue < 320) & (chroma > np.where(hue < 130, 70, 20)) & (step > 22) & darker & seen
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return large_parts(opened, scene.pixels(0.02) ** 2)
