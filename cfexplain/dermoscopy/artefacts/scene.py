"""One picture, made small, as the finders of artefacts read it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.dermoscopy.segment import Array
from cfexplain.images import check_images, to_uint8
from cfexplain.types import Image

Mask = Float[Tensor, "1 h w"]

LONGEST = 300
"""Pictures are reduced to this longer side for finding, never enlarged; all lengths below are shares of it."""


class Scene:
    """One picture, made small, and what finders read from it; arrays of shape (h, w)."""

    def __init__(self, picture: Image) -> None:
        import cv2

        check_images(picture[None])
        self.size = tuple(picture.shape[-2:])
        rgb = to_uint8(picture)
        share = LONGEST / max(self.size)
        if share < 1:
            smaller = (max(1, round(self.size[1] * share)), max(1, round(self.size[0] * share)))
            rgb = cv2.resize(rgb, smaller, interpolation=cv2.INTER_AREA)
        self.rgb: Array = np.ascontiguousarray(rgb)
        self._found: dict[Finder, Array] = {}

    def pixels(self, share: float, least: int = 1) -> int:
        """A share of the longer side in whole pixels."""
        return max(least, round(share * int(max(self.rgb.shape[:2]))))

    def odd(self, share: float) -> int:
        """The same, odd and at least three: the side of a kernel."""
        return 2 * self.pixels(share / 2) + 1

    @cached_property
    def bright(self) -> Array:
        """The brightest channel, 0 to 255: hair is dark in it, vessels, which swallow no red light, are not."""
        return np.asarray(self.rgb.max(2))

    @cached_property
    def white(self) -> Array:
        """The darkest channel, 0 to 255: only what is white is bright in it."""
        return np.asarray(self.rgb.min(2))

    @cached_property
    def lab(self) -> Array:
        """CIELAB, shape (h, w, 3)."""
        import cv2

        return np.asarray(cv2.cvtColor(self.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))

    @cached_property
    def radius(self) -> Array:
        """Distance from the centre, 1 at the middle of each side."""
        y, x = (np.linspace(-1, 1, n) for n in self.rgb.shape[:2])
        return np.hypot(y[:, None], x[None])

    def once(self, find: Finder) -> Array:
        """What a finder finds here, kept for the others that build on it."""
        if find not in self._found:
            self._found[find] = find(self)
        return self._found[find]

    def mask(self, found: Array) -> Mask:
        """Zeros and ones at the picture's own size."""
        import cv2

        height, width = self.size
        grown = cv2.resize(found.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy((grown > 0.5).astype(np.float32))[None]


Finder = Callable[[Scene], Array]
"""Says of each pixel of a scene whether something is there; shape (h, w)."""


def large_parts(found: Array, least: int) -> Array:
    """The connected parts of at least so many pixels."""
    import cv2

    count, parts, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= least
    kept[0] = False
    return np.asarray(kept[parts]) if count > 1 else np.zeros(found.shape, bool)


def dilated(found: Array, reach: int) -> Array:
    """Grown by a disc of this radius in pixels."""
    import cv2

    disc: Any = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    return np.asarray(cv2.dilate(found.astype(np.uint8), disc).astype(bool))
