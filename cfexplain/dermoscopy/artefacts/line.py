"""Thin lines on a picture: what hairs, ruler marks and the rims of bubbles have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cfexplain.dermoscopy.artefacts.corner import near_corners
from cfexplain.dermoscopy.artefacts.scene import Scene
from cfexplain.dermoscopy.segment import Array

ANGLES = 12
"""Directions in which a line is looked for, 15 degrees apart: between two of them a line loses little."""

WIDEST_HAIR = 0.034
"""Lines wider than this share of the longer side are no hair: a closing by a disc of this size fills a hair."""


@dataclass(frozen=True)
class Line:
    """What counts as a hair: contrast, 0 to 255, over a straight stretch, and length; shares of the longer side."""

    contrast: float
    straight: float
    length: float


SHORT_HAIR, LONG_HAIR = Line(34, 0.04, 0.04), Line(15, 0.09, 0.12)
"""Of dark hair: a short one must be darker than a long one."""

LIGHT_HAIR = Line(18, 0.09, 0.15)
"""Light hair must be long: short white lines are scales, reflections and structures of the lesion."""


def dark_hat(scene: Scene) -> Array:
    """How much darker than its surroundings, where narrow; 0 to 255, float32."""
    import cv2

    return _without_corners(scene, cv2.morphologyEx(scene.bright, cv2.MORPH_BLACKHAT, _disc(scene)))


def light_hat(scene: Scene) -> Array:
    """How much whiter than its surroundings, where narrow; 0 to 255, float32."""
    import cv2

    return _without_corners(scene, cv2.morphologyEx(scene.white, cv2.MORPH_TOPHAT, _disc(scene)))


def _disc(scene: Scene) -> Any:
    import cv2

    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (scene.odd(WIDEST_HAIR),) * 2)


def _without_corners(scene: Scene, hat: Array) -> Array:
    return np.where(scene.once(near_corners), np.float32(0), hat.astype(np.float32))


def long_dark(scene: Scene) -> Array:
    """True on long dark lines: hairs, and bars of rulers."""
    return lines_like(LONG_HAIR, scene, scene.once(dark_hat))


def thin_lines(scene: Scene) -> Array:
    """True on thin lines of any kind."""
    light = lines_like(LIGHT_HAIR, scene, scene.once(light_hat))
    return scene.once(long_dark) | lines_like(SHORT_HAIR, scene, scene.once(dark_hat)) | light


def lines_like(line: Line, scene: Scene, hat: Array) -> Array:
    """The parts of a hat, 0 to 255, that are lines at least as dark, straight and long as one."""
    import cv2

    # What is darker than needed counts no more: a line is a line by all of its length, not by one dark dot.
    straight = _straightness(np.minimum(hat, 1.5 * line.contrast), scene.odd(line.straight))
    grain = cv2.medianBlur((4 * straight).clip(0, 255).astype(np.uint8), scene.odd(0.12)).astype(np.float32) / 4
    seeds = straight > np.maximum(0.6 * line.contrast, 4 * grain)
    around = (straight > np.maximum(0.3 * line.contrast, 2 * grain)) & (hat > 0.5 * line.contrast)
    return _thin_parts(scene, seeds, around, line.length)


def _straightness(hat: Array, length: int) -> Array:
    """Mean of the hat along the best direction less the mean over all directions, shape (h, w)."""
    import cv2

    best, total = np.zeros_like(hat), np.zeros_like(hat)
    for kernel in _lines(length):
        along = cv2.filter2D(hat, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        best, total = np.maximum(best, along), total + along
    return np.asarray(best - total / ANGLES)


def _lines(length: int) -> Iterator[Array]:
    """Line segments through the centre of a square, one for each direction, soft-edged, (length, length)."""
    at = np.arange(length) - (length - 1) / 2
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        off = np.abs(at[:, None] * np.cos(angle) - at[None] * np.sin(angle))
        inside = np.hypot(at[:, None], at[None]) <= length / 2
        yield (np.clip(1 - off, 0, 1) * inside).astype(np.float32)


def _thin_parts(scene: Scene, seeds: Array, around: Array, shortest: float) -> Array:
    """Of the connected parts that hold a seed, those long (share of the longer side) and thin."""
    import cv2

    count, parts, stats, _ = cv2.connectedComponentsWithStats(around.astype(np.uint8), connectivity=8)
    rim = around & ~cv2.erode(around.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    length = np.bincount(parts.ravel(), rim.ravel(), count) / 2
    extent = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    thin = stats[:, cv2.CC_STAT_AREA] / np.maximum(np.maximum(length, extent), 1) < scene.pixels(WIDEST_HAIR)
    kept = thin & (extent > scene.pixels(shortest)) & np.isin(np.arange(count), parts[seeds])
    kept[0] = False
    return np.asarray(kept[parts])
