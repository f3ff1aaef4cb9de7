"""Training augmentation, behind which albumentations lives (its maintenance has ended, so only here)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """From a whole picture to an augmented square, a function of picture and seed alone.

    One affine warp maps the central square (scaled, stretched, turned by any angle, shifted, mirrored) to the
    output, so that corners come from the picture around it and not from a border; then mild changes of
    brightness, contrast, saturation and hue, and now and then blur, noise or JPEG.

    Attributes:
        size: pixels a side of the output.
        scale: smallest and largest magnification.
        stretch: largest ratio of the two sides' magnifications, above and below 1.
        shift: largest shift as a share of the square.
        colour: strength of the colour changes.
        degrade: probability of blur, of noise and of JPEG compression each.

    Example:
        >>> picture = np.zeros((150, 200, 3), np.uint8)
        >>> Augmentation(64)(picture, 7).shape
        (64, 64, 3)
    """

    size: int
    scale: tuple[float, float] = (0.85, 1.3)
    stretch: float = 1.1
    shift: float = 0.08
    colour: float = 1.0
    degrade: float = 0.1

    def __call__(self, picture: np.ndarray, seed: int) -> np.ndarray:
        """The augmented square, shape (size, size, 3), uint8."""
        return self.apply(picture, seed)[0]

    def apply(
        self, picture: np.ndarray, seed: int, mask: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The augmented square and its mask (h, w), moved by the same warp; outside the picture the mask is 0."""
        import cv2

        rng = np.random.default_rng(seed)
        picture, mask = self._smaller(picture), None if mask is None else self._smaller(mask)
        warp = self._warp(picture.shape[0], picture.shape[1], rng)
        square = (self.size, self.size)
        moved = cv2.warpAffine(picture, warp, square, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        self._colours.set_random_seed(int(rng.integers(2**31)))
        coloured: np.ndarray = self._colours(image=moved)["image"]
        if mask is None:
            return coloured, None
        return coloured, cv2.warpAffine(mask, warp, square, flags=cv2.INTER_NEAREST)

    def _smaller(self, picture: np.ndarray) -> np.ndarray:
        """A picture whose square is more than twice the output, reduced by areas, since a warp alone would alias."""
        import cv2

        shrink = min(picture.shape[:2]) / self.size
        if shrink <= 2:
            return picture
        size = (round(picture.shape[1] / shrink * 1.5), round(picture.shape[0] / shrink * 1.5))
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)

    def _warp(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """The 2x3 matrix from picture to output coordinates."""
        side = min(height, width)
        zoom = self.size / side * np.exp(rng.uniform(*np.log(self.scale)))
        stretch = np.exp(rng.uniform(-1, 1) * np.log(self.stretch))
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = turn @ np.diag([zoom * stretch * rng.choice([-1, 1]), zoom / stretch])
        centre = np.array([width - 1, height - 1]) / 2
        goal = (self.size - 1) / 2 + rng.uniform(-self.shift, self.shift, 2) * self.size
        return np.hstack([linear, (goal - linear @ centre)[:, None]])

    @cached_property
    def _colours(self) -> Any:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it calls out otherwise
        import albumentations as A

        c = self.colour
        return A.Compose(
            [
                A.ColorJitter(
                    brightness=(1 - 0.15 * c, 1 + 0.15 * c),
                    contrast=(1 - 0.15 * c, 1 + 0.15 * c),
                    saturation=(1 - 0.2 * c, 1 + 0.2 * c),
                    hue=(-0.02 * c, 0.02 * c),
                    p=0.8,
                ),
                A.GaussianBlur(blur_limit=(3, 5), p=self.degrade),
                A.GaussNoise(std_range=(0.01, 0.05), p=self.degrade),
                A.ImageCompression(quality_range=(50, 95), p=self.degrade),
            ]
        )

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_colours"}


def training_augmentation(size: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """The default augmentation at a size: (picture, seed) -> square."""
    return Augmentation(size)
