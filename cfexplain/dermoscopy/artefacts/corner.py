"""The dark surround of a circular field of view."""

from __future__ import annotations

import cv2
import numpy as np

from cfexplain.dermoscopy.artefacts.scene import Scene, dilated, once, opened
from cfexplain.dermoscopy.segment import Array, radius


@once
def corners(scene: Scene) -> Array:
    """True on the dark surround of a circular field of view.

    Components darker than 0.4 of the typical brightness that contain a corner of the image. A component with only one
    corner is cut at 0.75 of the way from the centre to a side, because a dark lesion may touch it.

    Source: ours; measured by experiments/artefacts.py.
    """
    distance = radius(scene.rgb)
    typical = float(np.median(scene.bright[distance < 1]))
    _, parts = cv2.connectedComponents(opened(scene.bright < min(0.4 * typical, 90)))
    ends = [int(parts[y, x]) for y in (0, -1) for x in (0, -1)]
    kept = np.zeros(parts.shape, bool)
    for part in set(ends) - {0}:
        kept |= (parts == part) & ((distance > 0.75) | (ends.count(part) > 1))
    return np.asarray(dilated(kept, scene.pixels(0.01)) & (scene.bright < 0.7 * typical))


@once
def near_corners(scene: Scene) -> Array:
    """The dark corners with a narrow margin, whose edge is not a line."""
    return dilated(corners(scene), scene.pixels(0.012))
