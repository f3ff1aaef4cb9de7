"""Bubbles of the contact gel and their reflections."""

from __future__ import annotations

import numpy as np

from cfexplain.dermoscopy.artefacts.corner import near_corners
from cfexplain.dermoscopy.artefacts.line import thin_lines
from cfexplain.dermoscopy.artefacts.scene import Mask, Scene, dilated, large_parts
from cfexplain.dermoscopy.segment import Array
from cfexplain.types import Image

SEVERAL = 3
"""Reflections come in groups, of the dermatoscope's lamps or of many bubbles; fewer spots are scales or bare skin."""


def bubbles(picture: Image) -> Mask:
    """Bubbles of the contact gel and their reflections: 1 on them, shape (1, h, w).

    `SEVERAL` small spots that outshine both their surroundings and the picture's typical skin in the darkest channel,
    which only white does; and long thin lines that close to one small circle, the rim of a bubble.

    Limits: transparent bubbles with faint or interrupted rims are missed; scales and other reflections of a lesion are
    found too, for nothing but their place tells them apart.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`.

    Example:
        >>> skin = torch.tensor([0.85, 0.6, 0.5])[:, None, None].repeat(1, 90, 120)
        >>> skin[:, 20:23, 20:50:10] = skin[:, 21:24, 20:50:10] = skin[:, 20:23, 21:51:10] = 0.98
        >>> found = bubbles(skin)
        >>> float(found[0, 21, 21]), float(found[0, 60, 80])
        (1.0, 0.0)

    Source: ours; measured by experiments/artefacts.py.
    """
    scene = Scene(picture)
    return scene.mask(spots_and_rings(scene))


def spots_and_rings(scene: Scene) -> Array:
    """True on reflections and on the rims of bubbles."""
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (scene.odd(0.035),) * 2)
    hat = cv2.morphologyEx(scene.white, cv2.MORPH_TOPHAT, disc)
    typical = float(np.median(scene.white[scene.radius < 1]))
    found = (hat > 50) & (scene.white > max(170.0, typical + 30)) & ~scene.once(near_corners)
    spots = large_parts(found, max(2, scene.pixels(0.006) ** 2))
    several = cv2.connectedComponents(spots.astype(np.uint8))[0] - 1 >= SEVERAL
    return (dilated(spots, scene.pixels(0.004)) & (hat > 25) & several) | scene.once(rings)


def rings(scene: Scene) -> Array:
    """Lines that close to one small circle: the rim of a bubble, not a hair."""
    import cv2

    found = np.zeros(scene.rgb.shape[:2], np.uint8)
    lines = scene.once(thin_lines)
    for outline in cv2.findContours(lines.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        (x, y), radius = cv2.minEnclosingCircle(outline)
        off = outline[:, 0] - np.array([x, y])
        turns = np.unique(np.floor(np.arctan2(off[:, 1], off[:, 0]) / np.pi * 12))
        round_ = float(np.hypot(*off.T).std()) < 0.12 * radius
        if radius < scene.pixels(0.13) and len(turns) > 16 and round_:
            cv2.drawContours(found, [outline], -1, 1, cv2.FILLED)
    return np.asarray(lines & found.astype(bool))
