"""Thin lines: what hairs, ruler marks and the rims of bubbles have in common."""

import cv2
import numpy as np

from cfexplain.dermoscopy.artefacts.scene import Scene, near_corners, once
from cfexplain.dermoscopy.segment import Array

ANGLES = 12  # Directions in which lines are looked for, 15 degrees apart; a line between two of them loses little.
# Lines wider than this share of the longer side are not hair: a closing with a disc of this size removes a hair.
WIDEST_HAIR = 0.034


@once
def dark_hat(scene: Scene) -> Array:
    """How much darker than its surroundings, where narrow; 0 to 255, float32."""
    return _hat(scene, scene.bright, cv2.MORPH_BLACKHAT)


@once
def long_dark(scene: Scene) -> Array:
    """True on long dark lines: hairs, and bars of rulers."""
    return _lines(scene, dark_hat(scene), contrast=15, straight=0.09, shortest=0.12)


@once
def thin_lines(scene: Scene) -> Array:
    """True on thin lines of any kind.

    Short dark lines need more contrast than long ones. Light lines must be long: short ones are scales, reflections and
    structures of the lesion.
    """
    short_dark = _lines(scene, dark_hat(scene), contrast=34, straight=0.04, shortest=0.04)
    light_hat = _hat(scene, scene.white, cv2.MORPH_TOPHAT)
    return long_dark(scene) | short_dark | _lines(scene, light_hat, contrast=18, straight=0.09, shortest=0.15)


def _hat(scene: Scene, channel: Array, operation: int) -> Array:
    hat = cv2.morphologyEx(channel, operation, scene.disc(WIDEST_HAIR)).astype(np.float32)
    return np.where(near_corners(scene), np.float32(0), hat)


def _lines(scene: Scene, hat: Array, *, contrast: float, straight: float, shortest: float) -> Array:
    """Long thin components of a hat, 0 to 255, that hold a straight stretch of this contrast and length.

    `straight` and `shortest`, the length of the whole line, are shares of the longer side.
    """
    # Contrast beyond what is needed is capped: a line must be a line along its whole length, not one dark dot.
    evidence = _straightness(np.minimum(hat, 1.5 * contrast), scene.odd(straight))
    grain = cv2.medianBlur((4 * evidence).clip(0, 255).astype(np.uint8), scene.odd(0.12)).astype(np.float32) / 4
    seeds = evidence > np.maximum(0.6 * contrast, 4 * grain)
    around = ((evidence > np.maximum(0.3 * contrast, 2 * grain)) & (hat > 0.5 * contrast)).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(around, connectivity=8)
    rim = (around > 0) & (cv2.erode(around, np.ones((3, 3), np.uint8)) == 0)
    length = np.bincount(parts.ravel(), rim.ravel(), count) / 2
    extent = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    thin = stats[:, cv2.CC_STAT_AREA] / np.maximum(np.maximum(length, extent), 1) < scene.pixels(WIDEST_HAIR)
    kept = thin & (extent > scene.pixels(shortest)) & np.isin(np.arange(count), parts[seeds])
    kept[0] = False
    return np.asarray(kept[parts])


def _straightness(hat: Array, length: int) -> Array:
    """Mean of the hat along the best direction minus the mean over all directions, shape (h, w)."""
    best, total = np.zeros_like(hat), np.zeros_like(hat)
    at = np.arange(length) - (length - 1) / 2
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        off = np.abs(at[:, None] * np.cos(angle) - at[None] * np.sin(angle))
        inside = np.hypot(at[:, None], at[None]) <= length / 2
        kernel = (np.clip(1 - off, 0, 1) * inside).astype(np.float32)
        along = cv2.filter2D(hat, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        best, total = np.maximum(best, along), total + along
    return np.asarray(best - total / ANGLES)
