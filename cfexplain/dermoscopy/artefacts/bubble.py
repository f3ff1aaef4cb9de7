"""Bubbles of the contact gel and their reflections."""

from __future__ import annotations

import cv2
import numpy as np

from cfexplain.dermoscopy.artefacts.corner import near_corners
from cfexplain.dermoscopy.artefacts.line import thin_lines
from cfexplain.dermoscopy.artefacts.scene import Scene, dilated, large_parts, once
from cfexplain.dermoscopy.segment import Array, radius


@once
def bubbles(scene: Scene) -> Array:
    """True on bubbles of the contact gel and their reflections.

    Three or more small spots (reflections come in groups) that outshine their surroundings and typical skin in the
    darkest channel, which only white does; and thin lines that close to one small circle, the rim of a bubble.

    Limits: transparent bubbles with faint or interrupted rims are missed; scales and other reflections of a lesion
    are found too, because only their place distinguishes them.

    Source: ours; measured by experiments/artefacts.py.
    """
    hat = cv2.morphologyEx(scene.white, cv2.MORPH_TOPHAT, scene.disc(0.035))
    typical = float(np.median(scene.white[radius(scene.rgb) < 1]))
    found = (hat > 50) & (scene.white > max(170.0, typical + 30)) & ~near_corners(scene)
    spots = large_parts(found, max(2, scene.pixels(0.006) ** 2))
    several = cv2.connectedComponents(spots.astype(np.uint8))[0] - 1 >= 3
    return (dilated(spots, scene.pixels(0.004)) & (hat > 25) & several) | rings(scene)


@once
def rings(scene: Scene) -> Array:
    """True on lines that close to one small circle: the rim of a bubble, not a hair."""
    filled = np.zeros(scene.rgb.shape[:2], np.uint8)
    lines = thin_lines(scene)
    for outline in cv2.findContours(lines.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        (x, y), size = cv2.minEnclosingCircle(outline)
        offset = outline[:, 0] - np.array([x, y])
        sectors = np.unique(np.floor(np.arctan2(offset[:, 1], offset[:, 0]) / np.pi * 12))
        circular = float(np.hypot(*offset.T).std()) < 0.12 * size
        if size < scene.pixels(0.13) and len(sectors) > 16 and circular:
            cv2.drawContours(filled, [outline], -1, 1, cv2.FILLED)
    return np.asarray(lines & filled.astype(bool))
