"""Measures of one lesion after the ABCD rule of dermoscopy: asymmetry, border, colours, diameter, pigment."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from torch import Tensor

from cfexplain.dermoscopy.segment import (
    REFERENCE_SIDE,
    Array,
    as_array,
    as_mask,
    dark_corners,
    lab,
    skin_colour,
    without_hair,
)
from cfexplain.images import check_images
from cfexplain.types import Image, Mask

# Typical colours of the ABCD rule as CIELAB differences from `REFERENCE_SKIN`; a pixel gets the nearest one.
# Ours: 30 k-means clusters of the lesion pixels of 300 HAM10000 training lesions, named by eye, not by a
# dermatologist.
PALETTE = {
    "white": ((12, -10, -2), (3, -9, -4)),
    "red": ((-13, 12, 1), (-21, 20, 8), (-30, 22, 10)),
    "light_brown": ((-13, 6, 14), (-21, 12, 18), (-17, 6, 24), (-24, 7, 10)),
    "dark_brown": ((-37, 9, 12), (-37, 13, 26), (-46, 9, 14)),
    "blue_grey": ((-21, -4, -15), (-40, -9, -24), (-30, -3, -8)),
    "black": ((-58, -12, -4), (-54, -3, 2)),
    "skin": ((0, 0, 0), (-6, 2, 4)),
}

# The skin of every image is scaled to this RGB (the median of those 300) before colours are named.
REFERENCE_SKIN = (0.84, 0.63, 0.67)

COLOURS = tuple(name for name in PALETTE if name != "skin")
PRESENT = 0.05  # A colour counts when it covers at least this share of the lesion.


@dataclass(frozen=True)
class Appearance:
    """The measures of one lesion; lengths are shares of the image's shorter side.

    Attributes:
        asymmetry: share of the area that falls outside the outline when mirrored: mean over two perpendicular axes
            through the centroid, rotated to where it is smallest; 0 is symmetric.
        colour_asymmetry: mean colour difference of mirrored points about the same axes, CIELAB units.
        irregularity: perimeter^2 / (4 pi area), divided by that of the ellipse of equal elongation; 1 is smooth.
        abruptness: steepness of the border: share of the contrast to skin that would be crossed within 5 % of the
            side at the steepest point across the outline, mean along the outline.
        shares: share of the lesion that each of the six colours covers; the rest looks like skin.
        diameter: of the disc of equal area, share of the side.
        pixels: the same in pixels.
        darkness: mean of 1 - L*/100 over the lesion, 0 white to 1 black.
        contrast: mean colour difference to the image's own skin, CIELAB units.
        inhomogeneity: standard deviation of the lightness L* over the lesion.

    Source: F. Nachbar et al., "The ABCD rule of dermatoscopy", J. Am. Acad. Dermatology 30, 1994, for the axes of
    least asymmetry and the six colours; the continuous measures in place of its counts are ours.
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
        """All measures by name, the colours included."""
        values: dict[str, float] = {name: value for name, value in asdict(self).items() if name != "shares"}
        return values | {"colours": float(self.colours)} | dict(self.shares)


def describe(image: Image, mask: Mask) -> Appearance:
    """Measure the lesion within a mask.

    Raises:
        TypeError, ValueError: not an image, see `check_images`; the mask is empty or of another size.

    Example:
        >>> import torch
        >>> y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        >>> disc = ((y - 31.5) ** 2 + (x - 31.5) ** 2 < 400).float()[None]
        >>> lesion = describe(0.8 - 0.5 * disc.expand(3, -1, -1), disc)
        >>> lesion.asymmetry < 0.01, lesion.irregularity < 1.1, round(lesion.diameter, 1), lesion.colours
        (True, True, 0.6, 1)
    """
    check_images(image[None])
    lesion, clean = checked_mask(mask, image), without_hair(as_array(image))
    skin = skin_colour(clean, dark_corners(clean) | lesion)
    side, scale = min(lesion.shape), min(lesion.shape) / REFERENCE_SIDE
    colours = lab(clean)
    distance = np.sqrt(((colours - lab(skin[None, None])) ** 2).sum(2))
    contrast = float(distance[lesion].mean())
    outline = _outline(lesion, scale)
    asymmetry, colour_asymmetry = _asymmetry(lesion, colours, scale)
    diameter = 2 * float(np.sqrt(lesion.sum() / np.pi))
    return Appearance(
        asymmetry=asymmetry,
        colour_asymmetry=colour_asymmetry,
        irregularity=_irregularity(outline),
        abruptness=_slope(distance, outline, scale) * 0.05 * side / max(contrast, 1.0),
        shares=_shares(clean, skin, lesion),
        diameter=diameter / side,
        pixels=diameter,
        darkness=float(1 - colours[lesion][:, 0].mean() / 100),
        contrast=contrast,
        inhomogeneity=float(colours[lesion][:, 0].std()),
    )


def checked_mask(mask: Tensor, image: Image) -> Array:
    """Like `as_mask`; an empty mask raises a ValueError too."""
    lesion = as_mask(mask, image)
    if not lesion.any():
        raise ValueError("the mask is empty: paint 1 on the lesion, or leave the mask out")
    return lesion


def _asymmetry(lesion: Array, colours: Array, scale: float) -> tuple[float, float]:
    """Of the outline and of the colours, about the pair of axes with the smallest asymmetry of the outline.

    A reflection at angle t about the centroid is R = [[cos 2t, sin 2t], [sin 2t, -cos 2t]]; the perpendicular axis
    reflects by -R.
    """
    from scipy import ndimage

    points = np.argwhere(lesion).T.astype(float)
    centre = points.mean(1, keepdims=True)

    def mirrored(angle: float, every: int = 1) -> list[Array]:
        cos, sin = np.cos(2 * angle), np.sin(2 * angle)
        mirror = np.array([[cos, sin], [sin, -cos]])
        return [centre + sign * mirror @ (points[:, ::every] - centre) for sign in (1, -1)]

    def inside(axes: list[Array]) -> Array:
        return np.stack([ndimage.map_coordinates(lesion.astype(float), at, order=1) for at in axes])

    angles = np.deg2rad(np.arange(0, 90, 5))
    best = mirrored(min(angles, key=lambda angle: float(1 - inside(mirrored(angle, every=3)).mean())))
    smooth = np.moveaxis(ndimage.gaussian_filter(colours, (scale, scale, 0)), 2, 0)
    reflected = [[ndimage.map_coordinates(c, at, order=1, mode="nearest") for c in smooth] for at in best]
    difference = np.sqrt(((smooth[:, lesion] - np.array(reflected)) ** 2).sum(1))
    overlap = inside(best)
    return float(1 - overlap.mean()), float((difference * overlap).sum() / max(overlap.sum(), 1e-9))


def _outline(lesion: Array, scale: float) -> Array:
    """The longest contour of the mask, closed, shape (points, 2); slight smoothing removes the pixel steps."""
    from scipy import ndimage
    from skimage.measure import find_contours

    margin = int(6 * scale) + 4
    padded = np.pad(lesion, margin).astype(float)
    # Smoothing may erase a tiny lesion.
    contours = find_contours(ndimage.gaussian_filter(padded, scale), 0.5) or find_contours(padded, 0.5)
    return np.asarray(max(contours, key=len) - margin)


def _irregularity(outline: Array) -> float:
    """perimeter^2 / (4 pi area) of a closed polygon over that of the ellipse with its second moments."""
    from skimage.measure import grid_points_in_poly

    step = np.diff(outline, axis=0)
    y, x = outline[:-1].T
    perimeter, area = np.hypot(*step.T).sum(), abs((x * step[:, 0] - y * step[:, 1]).sum()) / 2
    shape = tuple(np.ceil(np.ptp(outline, axis=0)).astype(int) + 2)
    points = np.argwhere(grid_points_in_poly(shape, outline - outline.min(0)))
    spread = np.cov(points.T, bias=True) if len(points) else np.zeros((2, 2))
    b, a = np.sqrt(np.linalg.eigvalsh(spread + np.eye(2) / 12))  # 1/12 is the variance within a pixel
    # Ramanujan's first formula for the perimeter.
    ellipse = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))
    return float(perimeter**2 / (4 * np.pi * area) / (ellipse**2 / (4 * np.pi * np.pi * a * b)))


def _slope(distance: Array, outline: Array, scale: float) -> float:
    """Mean along the outline of the steepest slope within three pixels, CIELAB units a pixel."""
    from scipy import ndimage

    slope = ndimage.maximum_filter(ndimage.gaussian_gradient_magnitude(distance, scale), size=2 * round(3 * scale) + 1)
    return float(ndimage.map_coordinates(slope, outline.T, order=1, mode="nearest").mean())


def _shares(image: Array, skin: Array, lesion: Array) -> dict[str, float]:
    balanced = (image[lesion] * np.array(REFERENCE_SKIN) / skin.clip(0.05)).clip(0, 1)
    step = lab(balanced[None])[0] - lab(np.array(REFERENCE_SKIN)[None, None])[0]
    names = np.array([name for name, colours in PALETTE.items() for _ in colours])
    nearest = names[((step[:, None] - np.concatenate(list(PALETTE.values()))) ** 2).sum(2).argmin(1)]
    return {name: float((nearest == name).mean()) for name in COLOURS}
