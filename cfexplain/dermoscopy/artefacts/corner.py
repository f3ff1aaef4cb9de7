"""The dark surround of a round field of view."""

from __future__ import annotations

import numpy as np

from cfexplain.dermoscopy.artefacts.scene import Mask, Scene, dilated
from cfexplain.dermoscopy.segment import Array
from cfexplain.types import Image


def dark_corner(picture: Image) -> Mask:
    """The dark surround of a round field of view: 1 on it, shape (1, h, w).

    Parts darker than 0.4 of the picture's typical brightness that hold a corner of the picture; those that hold only
    one are cut at 0.75 of the way from the centre to a side, for a dark lesion may run into them.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`.

    Example:
        >>> y, x = torch.meshgrid(torch.linspace(-1, 1, 90), torch.linspace(-1, 1, 120), indexing="ij")
        >>> found = dark_corner((0.8 * (y**2 + x**2 < 1.4).float()).expand(3, -1, -1))
        >>> float(found[0, 1, 1]), float(found[0, 45, 60])
        (1.0, 0.0)

    Source: ours; measured by experiments/artefacts.py.
    """
    scene = Scene(picture)
    return scene.mask(scene.once(corners))


def corners(scene: Scene) -> Array:
    """True on the dark surround."""
    import cv2

    typical = float(np.median(scene.bright[scene.radius < 1]))
    black = (scene.bright < min(0.4 * typical, 90)).astype(np.uint8)
    opened = cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, parts = cv2.connectedComponents(opened)
    ends = [int(parts[y, x]) for y in (0, -1) for x in (0, -1)]
    kept = np.zeros(black.shape, bool)
    for part in set(ends) - {0}:
        kept |= (parts == part) & ((scene.radius > 0.75) | (ends.count(part) > 1))
    return dilated(kept, scene.pixels(0.01)) & (scene.bright < 0.7 * typical)


def near_corners(scene: Scene) -> Array:
    """The dark corners and a narrow rim of them, where the picture's steps are no lines."""
    return dilated(scene.once(corners), scene.pixels(0.012))
