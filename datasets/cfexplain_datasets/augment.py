"""Training augmentation, the only file that uses albumentations (which is no longer maintained)."""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """From a whole image to an augmented square, a function of image and seed alone.

    One affine warp maps the central square (scaled, stretched, rotated by any angle, shifted, mirrored) to the output,
    so that corners come from the image around it; then follow mild changes of brightness, contrast, saturation and
    hue, and sometimes blur, noise or JPEG compression.

    Example:
        >>> Augmentation(64)(np.zeros((150, 200, 3), np.uint8), seed=7).shape
        (64, 64, 3)
    """

    size: int  # pixels a side of the output
    scale: tuple[float, float] = (0.85, 1.3)  # smallest and largest magnification
    stretch: float = 1.1  # largest ratio of the two sides' magnifications, above and below 1
    shift: float = 0.08  # largest shift as a share of the square
    colour: float = 1.0  # strength of the colour changes
    degrade: float = 0.1  # probability of blur, of noise and of JPEG compression each

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        """The augmented square of an image (h, w, 3), shape (size, size, 3), uint8."""
        rng = np.random.default_rng(seed)
        shrink = min(image.shape[:2]) / self.size
        if shrink > 2:  # the warp alone would alias
            size = (round(image.shape[1] / shrink * 1.5), round(image.shape[0] / shrink * 1.5))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        warp = self._warp(image.shape[0], image.shape[1], rng)
        square = cv2.warpAffine(image, warp, (self.size, self.size), borderMode=cv2.BORDER_REFLECT_101)
        colours = _colours(self.colour, self.degrade)
        colours.set_random_seed(int(rng.integers(2**31)))
        return np.asarray(colours(image=square)["image"])

    def _warp(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """The 2 x 3 matrix from input to output coordinates."""
        zoom = self.size / min(height, width) * np.exp(rng.uniform(*np.log(self.scale)))
        stretch = np.exp(rng.uniform(-1, 1) * np.log(self.stretch))
        angle = rng.uniform(0, 2 * np.pi)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = rotation @ np.diag([zoom * stretch * rng.choice([-1, 1]), zoom / stretch])
        centre = np.array([width - 1, height - 1]) / 2
        goal = (self.size - 1) / 2 + rng.uniform(-self.shift, self.shift, 2) * self.size
        return np.hstack([linear, (goal - linear @ centre)[:, None]])


training_augmentation = Augmentation  # the defaults at a size


@cache
def _colours(colour: float, degrade: float) -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise it connects to the internet
    import albumentations as A

    light, saturation, hue = 0.15 * colour, 0.2 * colour, 0.02 * colour
    return A.Compose(
        [
            A.ColorJitter(
                (1 - light, 1 + light), (1 - light, 1 + light), (1 - saturation, 1 + saturation), (-hue, hue), 0.8
            ),
            A.GaussianBlur(blur_limit=(3, 5), p=degrade),
            A.GaussNoise(std_range=(0.01, 0.05), p=degrade),
            A.ImageCompression(quality_range=(50, 95), p=degrade),
        ]
    )
