"""Artefacts of dermoscopic images: hair, ruler marks, ink, dark corners, gel bubbles."""

from collections.abc import Callable

import cv2
import numpy as np

from cfexplain.dermoscopy.artefacts.line import thin_lines
from cfexplain.dermoscopy.artefacts.ruler import ruler
from cfexplain.dermoscopy.artefacts.scene import (
    Scene,
    corners,
    dilated,
    large_parts,
    near_corners,
    once,
    opened,
)
from cfexplain.dermoscopy.segment import Array, as_mask, radius
from cfexplain.types import Image, Mask


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


def hair(scene: Scene) -> Array:
    """True on hairs, dark or light.

    A black-hat of the brightest channel (a top-hat of the darkest, for light hair) keeps what is narrower than
    `WIDEST_HAIR`. Its mean along the best of `ANGLES` directions, minus its mean over all of them, keeps what is long
    and straight, which a pigment network is not. A component must stand out from the grain of its surroundings; long
    and thin ones remain. Ruler marks, ink and round bubbles are excluded.

    Limits: stubble shorter than 0.04 of the longer side, single faint hairs, and the inside of dense tufts are missed;
    scratches on the glass, which are white lines too, and networks wider than 0.04 of the side count as hair.

    Source: T. Lee et al., "DullRazor", Comput. Biol. Med. 27, 1997, for the closing; the rest is ours, measured by
    experiments/artefacts.py.
    """
    other = dilated(ruler(scene), scene.pixels(0.03)) | dilated(ink(scene), scene.pixels(0.02))
    return thin_lines(scene) & ~rings(scene) & ~other


# The finders by name; each says where something is, shape (h, w).
ARTEFACTS: dict[str, Callable[[Scene], Array]] = {
    "hair": hair,
    "ruler": ruler,
    "ink": ink,
    "dark_corner": corners,
    "bubbles": bubbles,
}


def find_artefacts(image: Image, lesion: Mask | None = None) -> dict[str, Mask]:
    """Masks of all artefacts of one image of any size, by the names of `ARTEFACTS`; none overlaps a dark corner.

    Ink on a given lesion is ignored, because blue there is pigment.

    Raises:
        TypeError, ValueError: not an image, see `check_images`; the mask has another size.

    Example:
        >>> skin = torch.full((3, 90, 120), 0.8)
        >>> skin[:, 40:42, 10:100] = 0.2
        >>> masks = find_artefacts(skin)
        >>> [name for name, mask in masks.items() if mask.any()]
        ['hair']

    Source: see the finders; experiments/results/artefacts/ says how often they are right on HAM10000.
    """
    scene = Scene(image)
    masks = {name: scene.mask(find(scene)) for name, find in ARTEFACTS.items()}
    masks |= {name: masks[name] * (1 - masks["dark_corner"]) for name in masks if name != "dark_corner"}
    if lesion is not None:
        masks["ink"][0, as_mask(lesion, image)] = 0
    return masks
