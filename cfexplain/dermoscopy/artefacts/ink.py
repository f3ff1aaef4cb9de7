"""Surgical marker and coloured stickers."""

from __future__ import annotations

import cv2
import numpy as np

from cfexplain.dermoscopy.artefacts.corner import corners
from cfexplain.dermoscopy.artefacts.scene import Scene, large_parts, once, opened
from cfexplain.dermoscopy.segment import Array


@once
def ink(scene: Scene) -> Array:
    """True on surgical marker and coloured stickers, blue, violet or green.

    In CIELAB: hue between green (95 degrees) and violet (320), chroma above 20 (above 70 for yellow-green), more than
    22 from the image's median colour, and either darker than it by 12 or vivid. The blue-grey of lesions has less
    chroma.

    Limits: blue naevi and bloody tumours may qualify (`find_artefacts` with the lesion's mask ignores them). Faded pen,
    and pen so dark or red that its hue is that of vessels, is missed; its strokes may then count as hair.

    Source: ours; measured by experiments/artefacts.py.
    """
    lab = cv2.cvtColor(scene.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lightness, green_red, blue_yellow = np.moveaxis(lab, 2, 0)
    valid = ~corners(scene)
    skin = np.median(lab[valid], 0) if valid.any() else np.zeros(3)
    hue, chroma = np.degrees(np.arctan2(blue_yellow, green_red)) % 360, np.hypot(green_red, blue_yellow)
    step = np.hypot(green_red - skin[1], blue_yellow - skin[2])
    darker = (skin[0] - lightness > 12) | (chroma > 45)
    found = (hue > 95) & (hue < 320) & (chroma > np.where(hue < 130, 70, 20)) & (step > 22) & darker & valid
    return large_parts(opened(found), scene.pixels(0.02) ** 2)
