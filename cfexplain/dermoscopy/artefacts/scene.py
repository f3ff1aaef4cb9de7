"""One image, reduced in size, as the artefact finders read it; its dark corners, which the others leave out."""

from functools import lru_cache

import cv2
import numpy as np
import torch

from cfexplain.dermoscopy.segment import Array, radius
from cfexplain.images import check_images, to_uint8
from cfexplain.types import Image, Mask

LONGEST = 300  # Larger images are reduced to this longer side; all lengths below are shares of the longer side.


class Scene:
    """One image, reduced in size, for the finders.

    Attributes:
        size: height and width of the image.
        rgb: the reduced image, 0 to 255, shape (h, w, 3).
        bright: its brightest channel, shape (h, w): hair is dark in it; vessels, which absorb no red light, are not.
        white: its darkest channel, shape (h, w): only white is bright in it.
    """

    def __init__(self, image: Image) -> None:
        check_images(image[None])
        self.size = tuple(image.shape[-2:])
        rgb = to_uint8(image)
        scale = LONGEST / max(self.size)
        if scale < 1:
            smaller = (max(1, round(self.size[1] * scale)), max(1, round(self.size[0] * scale)))
            rgb = cv2.resize(rgb, smaller, interpolation=cv2.INTER_AREA)
        self.rgb: Array = np.ascontiguousarray(rgb)
        self.bright, self.white = self.rgb.max(2), self.rgb.min(2)

    def pixels(self, share: float, least: int = 1) -> int:
        """A share of the longer side in whole pixels."""
        return max(least, round(share * int(max(self.rgb.shape[:2]))))

    def disc(self, share: float) -> Array:
        """A disc as structuring element, of odd diameter of at least three pixels."""
        return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (self.odd(share),) * 2))

    def odd(self, share: float) -> int:
        """A share of the longer side as an odd number of pixels, at least three."""
        return 2 * self.pixels(share / 2) + 1

    def mask(self, found: Array) -> Mask:
        """Zeros and ones at the image's own size."""
        height, width = self.size
        grown = cv2.resize(found.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy((grown > 0.5).astype(np.float32))[None]


once = lru_cache(maxsize=1)  # Decorates finders that others build on: the result for the latest scene is kept.


def large_parts(found: Array, least: int) -> Array:
    """The connected components of at least so many pixels."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= least
    kept[0] = False
    return np.asarray(kept[parts])


def opened(found: Array) -> Array:
    """Without what is narrower than three pixels, as 0 and 1."""
    return np.asarray(cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))


def dilated(found: Array, reach: int) -> Array:
    """Grown by a disc of this radius in pixels."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    return np.asarray(cv2.dilate(found.astype(np.uint8), disc).astype(bool))


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
