"""One lesion in numbers, after the ABCD rule of dermoscopy: asymmetry, border, colours, diameter, pigment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from cfexplain.dermoscopy.segment import REFERENCE_SIDE, Array, as_array, dark_corners, skin_colour, without_hair
from cfexplain.images import check_images
from cfexplain.types import Image

PALETTE = {
    "white": ((12, -10, -2), (3, -9, -4)),
    "red": ((-13, 12, 1), (-21, 20, 8), (-30, 22, 10)),
    "light_brown": ((-13, 6, 14), (-21, 12, 18), (-17, 6, 24), (-24, 7, 10)),
    "dark_brown": ((-37, 9, 12), (-37, 13, 26), (-46, 9, 14)),
    "blue_grey": ((-21, -4, -15), (-40, -9, -24), (-30, -3, -8)),
    "black": ((-58, -12, -4), (-54, -3, 2)),
    "skin": ((0, 0, 0), (-6, 2, 4)),
}
"""Typical colours of the ABCD rule as CIELAB steps from `REFERENCE_SKIN`; a pixel is of the nearest one.
Ours: 30 k-means clusters of the lesion pixels of 300 HAM10000 training lesions, named by eye, not by a
dermatologist."""

REFERENCE_SKIN = (0.84, 0.63, 0.67)
"""Every picture's skin is brought to this RGB (the median of those 300) before colours are named."""

COLOURS = tuple(name for name in PALETTE if name != "skin")

PRESENT = 0.05
"""A colour counts when it covers at least this share of the lesion."""


@dataclass(frozen=True)
class Appearance:
    """One lesion in numbers, after the ABCD rule; lengths are shares of the picture's shorter side.

    Attributes:
        asymmetry: share of the area that leaves the outline when mirrored, mean of two perpendicular axes through
            the centroid, turned to where it is smallest; 0 symmetric.
        colour_asymmetry: mean colour difference of mirrored points, same axes, CIELAB units.
        irregularity: perimeter^2 / (4 pi area), divided by that of the ellipse of equal elongation; 1 is smooth.
        abruptness: steepness of the border: share of the contrast to skin that would be crossed within 5 % of the
            side, at the steepest place across the outline, mean along it.
        shares: share of the lesion that each of the six colours covers; what is left looks like skin.
        diameter: of the disc of equal area, share of the side.
        pixels: the same, in pixels.
        darkness: mean of 1 - L*/100 over the lesion, 0 white to 1 black.
        contrast: mean colour difference to the picture's own skin, CIELAB units.
        inhomogeneity: standard deviation of the lightness L* over the lesion.

    Source: F. Nachbar et al., "The ABCD rule of dermatoscopy", J. Am. Acad. Dermatology 30, 1994, for the axes of
    least asymmetry and the six colours; continuous measures in place of its counts are ours.
    """

    asymmetry: float
    colour_asymmetry: float
    irregularity: float
    abruptness: float
    shares: Mapping[str, float]
    diameter: float
    pixels: float
    darkness: float
    contrast: float
    inhomogeneity: float

    @property
    def colours(self) -> int:
        """How many of the six colours cover at least `PRESENT` of the lesion."""
        return sum(share >= PRESENT for share in self.shares.values())

    def numbers(self) -> dict[str, float]:
        """All measures by name, colours included, as plain values."""
        values = {name: value for name, value in asdict(self).items() if name != "shares"}
        return values | {"colours": float(self.colours)} | dict(self.shares)


def describe(image: Image, mask: Float[Tensor, "1 h w"]) -> Appearance:
    """One lesion in numbers, within a mask.

    Args:
        image: RGB in [0, 1], shape (3, h, w).
        mask: 1 on the lesion, shape (1, h, w).

    Raises:
        ValueError: the mask is empty or of another size; the image is out of range.

    Example:
        >>> import torch
        >>> y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        >>> disc = ((y - 31.5) ** 2 + (x - 31.5) ** 2 < 400).float()[None]
        >>> found = describe(0.8 - 0.5 * disc.expand(3, -1, -1), disc)
        >>> found.asymmetry < 0.01, found.irregularity < 1.1, round(found.diameter, 1), found.colours
        (True, True, 0.6, 1)
    """
    check_images(image[None])
    return appearance_within(image, checked_mask(mask, image))


def checked_mask(mask: Tensor, image: Image) -> Array:
    """A mask as booleans of shape (h, w), or the reason why it cannot be used."""
    if mask.shape[-2:] != image.shape[-2:] or mask.numel() != image[0].numel():
        raise ValueError(f"the mask must have shape (1, {image.shape[1]}, {image.shape[2]}), got {tuple(mask.shape)}")
    lesion = mask.detach().cpu().reshape(image.shape[-2:]).numpy() > 0.5
    if not lesion.any():
        raise ValueError("the mask is empty: paint 1 on the lesion, or leave the mask out")
    return np.asarray(lesion)


def appearance_within(image: Image, lesion: Array) -> Appearance:
    """As `describe`, with the mask as booleans, shape (h, w)."""
    from scipy import ndimage
    from skimage.color import rgb2lab

    picture = without_hair(as_array(image))
    skin = skin_colour(picture, dark_corners(picture) | lesion)
    side, scale = min(lesion.shape), min(lesion.shape) / REFERENCE_SIDE
    lab, skin_lab = rgb2lab(picture), rgb2lab(skin[None, None])
    unlike = np.sqrt(((lab - skin_lab) ** 2).sum(2))
    contrast = float(unlike[lesion].mean())
    outline = _outline(lesion, scale)
    asymmetry, colour_asymmetry = _asymmetry(lesion, ndimage.gaussian_filter(lab, (scale, scale, 0)))
    diameter = 2 * float(np.sqrt(lesion.sum() / np.pi))
    return Appearance(
        asymmetry=asymmetry,
        colour_asymmetry=colour_asymmetry,
        irregularity=_irregularity(outline),
        abruptness=_abruptness(unlike, outline, scale) * 0.05 * side / max(contrast, 1.0),
        shares=_shares(picture, skin, lesion),
        diameter=diameter / side,
        pixels=diameter,
        darkness=float(1 - lab[lesion][:, 0].mean() / 100),
        contrast=contrast,
        inhomogeneity=float(lab[lesion][:, 0].std()),
    )


def _asymmetry(lesion: Array, lab: Array) -> tuple[float, float]:
    """Of the outline and of the colours, about the pair of axes with the smallest asymmetry of the outline.

    A mirror at angle t about the centroid is R = [[cos 2t, sin 2t], [sin 2t, -cos 2t]]; the axis across it is -R.
    """
    from scipy.ndimage import map_coordinates

    points = np.argwhere(lesion).T.astype(float)
    centre = points.mean(1, keepdims=True)

    def mirrored(turn: float, every: int = 1) -> list[Array]:
        cos, sin = np.cos(2 * turn), np.sin(2 * turn)
        mirror = np.array([[cos, sin], [sin, -cos]])
        return [centre + sign * mirror @ (points[:, ::every] - centre) for sign in (1, -1)]

    def kept(at: list[Array]) -> Array:
        return np.stack([map_coordinates(lesion.astype(float), a, order=1) for a in at])

    turns = np.deg2rad(np.arange(0, 90, 5))
    best = mirrored(min(turns, key=lambda turn: float(1 - kept(mirrored(turn, every=3)).mean())))
    overlap, difference = kept(best), []
    for at in best:
        reflected = np.stack([map_coordinates(c, at, order=1, mode="nearest") for c in np.moveaxis(lab, 2, 0)], 1)
        difference.append(np.sqrt(((lab[lesion] - reflected) ** 2).sum(1)))
    colour = (np.stack(difference) * overlap).sum() / max(overlap.sum(), 1e-9)
    return float(1 - overlap.mean()), float(colour)


def _outline(lesion: Array, scale: float) -> Array:
    """The longest contour of the slightly smoothed mask, closed, shape (points, 2); smoothing takes off the steps."""
    from scipy.ndimage import gaussian_filter
    from skimage.measure import find_contours

    room = int(6 * scale) + 4
    for smoothing in (scale, 0.0):
        contours = find_contours(gaussian_filter(np.pad(lesion, room).astype(float), smoothing), 0.5)
        if contours:
            break
    return np.asarray(max(contours, key=len) - room)


def _irregularity(outline: Array) -> float:
    """perimeter^2 / (4 pi area) of a closed polygon over that of the ellipse with its second moments."""
    step = np.diff(outline, axis=0)
    y, x = outline[:-1].T
    perimeter, area = np.hypot(*step.T).sum(), abs((x * step[:, 0] - y * step[:, 1]).sum()) / 2
    return float(perimeter**2 / (4 * np.pi * area) / _ellipse_compactness(outline))


def _ellipse_compactness(outline: Array) -> float:
    """perimeter^2 / (4 pi area) of the ellipse as long and wide as the polygon's filled shape."""
    from skimage.measure import grid_points_in_poly

    low = outline.min(0)
    shape = tuple(np.ceil(np.ptp(outline, axis=0)).astype(int) + 2)
    points = np.argwhere(grid_points_in_poly(shape, outline - low))
    spread = np.cov(points.T, bias=True) if len(points) else np.zeros((2, 2))
    b, a = np.sqrt(np.linalg.eigvalsh(spread + np.eye(2) / 12))  # a pixel has an extent too
    # Ramanujan's first formula for the perimeter.
    perimeter = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))
    return float(perimeter**2 / (4 * np.pi * np.pi * a * b))


def _abruptness(unlike: Array, outline: Array, scale: float) -> float:
    """Mean along the outline of the steepest slope within three pixels, CIELAB units a pixel."""
    from scipy.ndimage import gaussian_gradient_magnitude, map_coordinates, maximum_filter

    slope = maximum_filter(gaussian_gradient_magnitude(unlike, scale), size=2 * round(3 * scale) + 1)
    return float(map_coordinates(slope, outline.T, order=1, mode="nearest").mean())


def _shares(picture: Array, skin: Array, lesion: Array) -> dict[str, float]:
    """Share of the lesion's pixels that are nearest to each colour of the palette."""
    from skimage.color import rgb2lab

    balanced = (picture[lesion] * np.array(REFERENCE_SKIN) / skin.clip(0.05)).clip(0, 1)
    step = rgb2lab(balanced[None])[0] - rgb2lab(np.array(REFERENCE_SKIN)[None, None])[0]
    typical = [(name, colour) for name, colours in PALETTE.items() for colour in colours]
    distance = ((step[:, None] - np.array([colour for _, colour in typical])) ** 2).sum(2)
    names = np.array([name for name, _ in typical])[distance.argmin(1)]
    return {name: float((names == name).mean()) for name in COLOURS}
