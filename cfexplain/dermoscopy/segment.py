"""Where is the lesion? An outline from colour alone, for pictures that come without a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import check_images
from cfexplain.types import Image, Images

Array = np.ndarray[Any, np.dtype[Any]]

REFERENCE_SIDE = 128
"""Lengths in pixels below hold for squares of this side and grow with the picture."""

OTSU_SHARE = 0.65
"""The outline lies at this share of Otsu's threshold: experts outline generously, Otsu cuts to the dark core.
A compromise of 150 training lesions of HAM10000 (mean IoU .78, .77, .74 at 0.6, 0.7, 0.8) and 80 synthetic ones, on
which a higher share finds the true notches and the true asymmetry better."""

FAINTEST = 4.0
"""Outline levels below this colour distance (CIELAB units) are noise on skin, not a lesion."""


def segment(images: Images) -> Float[Tensor, "n 1 h w"]:
    """The lesion in each picture: 1 on it, 0 elsewhere; the mask is never empty and the function never fails.

    Each pixel's colour distance to the picture's own skin (`colour_distance`) is cut at `OTSU_SHARE` of Otsu's
    threshold; of the parts, the one with the most weight at the centre is kept, and its holes are filled. Hairs are
    painted over and dark corners of the microscope are left out first. A picture without contrast, or whose contrast
    leaves no part behind, gets a central disc of half its shorter side.

    Args:
        images: RGB in [0, 1], shape (n, 3, h, w), any size; the skin is looked for near the picture's rim.

    Raises:
        TypeError: images are not a floating-point tensor.
        ValueError: images have another shape or range.

    Example:
        >>> grey = torch.full((1, 3, 32, 32), 0.7)
        >>> grey[:, :, 10:20, 8:24] = 0.3
        >>> float(segment(grey)[0, 0, 15, 15]), float(segment(grey)[0, 0, 2, 2])
        (1.0, 0.0)

    Source: N. Otsu, IEEE Trans. SMC 9, 1979, for the threshold; T. Lee et al., "DullRazor", Comput. Biol. Med. 27,
    1997, for the idea of `without_hair`. The rest is ours; measured by experiments/readout_check.py.
    """
    check_images(images)
    masks = [torch.from_numpy(_outlined(as_array(image)).astype(np.float32)) for image in images]
    return torch.stack(masks)[:, None].to(images)


def as_array(image: Image) -> Array:
    """One picture as float64, shape (h, w, 3)."""
    return image.detach().cpu().double().permute(1, 2, 0).numpy()


def without_hair(picture: Array) -> Array:
    """The picture with thin dark lines painted over by their surroundings, shape (h, w, 3).

    A line is a connected part that a closing by a disc fills by more than 0.06, that is long (a fifth of the side)
    and thin (at most four pixels at `REFERENCE_SIDE`); dots and meshes of pigment are neither and stay.
    """
    from scipy import ndimage
    from skimage.morphology import disk

    pixels, side = _pixels(picture), min(picture.shape[:2])
    closed = np.stack([ndimage.grey_closing(c, footprint=disk(pixels(2.5))) for c in np.moveaxis(picture, 2, 0)], 2)
    parts, _ = ndimage.label((closed - picture).mean(2) > 0.06, np.ones((3, 3)))
    hair = np.zeros(picture.shape[:2], bool)
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
        length = np.hypot(rows.stop - rows.start, columns.stop - columns.start)
        if length > side / 5:
            part = parts[rows, columns] == number
            hair[rows, columns] |= part & bool(part.sum() < 4 * pixels(1) * length)
    soft = ndimage.gaussian_filter(ndimage.binary_dilation(hair).astype(float), pixels(1) / 2)[..., None]
    return np.asarray(picture + soft.clip(0, 1) * (closed - picture))


def dark_corners(picture: Array) -> Array:
    """True on the black surround of a round field of view, which is neither lesion nor skin, shape (h, w)."""
    from scipy import ndimage

    # An opening takes the rim away, the corners with it: it needs one beyond the picture.
    dark = ndimage.binary_opening(np.pad(picture.max(2) < 0.25, 2, mode="edge"))[2:-2, 2:-2]
    parts, _ = ndimage.label(dark)
    corners = {int(parts[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    surround = np.isin(parts, list(corners)) & (_radius(picture) > 0.8)
    return np.asarray(ndimage.binary_dilation(surround, iterations=_pixels(picture)(3)))


def skin_colour(picture: Array, surround: Array) -> Array:
    """The skin's colour: the median of the brighter half of the picture's rim, RGB in [0, 1], shape (3,)."""
    rim = picture[~surround & (_radius(picture) > 0.85)]
    rim = rim if len(rim) >= 20 else picture.reshape(-1, 3)
    brightness = rim.sum(1)
    return np.asarray(np.median(rim[brightness >= np.median(brightness)], 0))


def colour_distance(picture: Array) -> tuple[Array, Array]:
    """How unlike skin each pixel is, smoothed, and where to look; shapes (h, w), CIELAB units and booleans.

    d = sqrt(min(L - L_skin, 0)^2 + 2 (a - a_skin)^2 + 2 (b - b_skin)^2 + (100 min(blue - blue_skin, 0))^2): darker
    counts, brighter does not; blue light is what melanin swallows most.
    """
    from scipy import ndimage
    from skimage.color import rgb2lab

    clean = without_hair(picture)
    surround = dark_corners(clean)
    skin = skin_colour(clean, surround)
    lightness, green_red, blue_yellow = np.moveaxis(rgb2lab(clean) - rgb2lab(skin[None, None]), 2, 0)
    blue = 100 * np.minimum(clean[..., 2] - skin[2], 0)
    squared = np.minimum(lightness, 0) ** 2 + 2 * green_red**2 + 2 * blue_yellow**2 + blue**2
    return ndimage.gaussian_filter(np.sqrt(squared), _pixels(picture)(2)), ~surround


def outline_level(distance: Array, seen: Array) -> float:
    """The colour distance at which the lesion's outline lies: `OTSU_SHARE` of Otsu's threshold."""
    from skimage.filters import threshold_otsu

    values = distance[seen]
    return OTSU_SHARE * float(threshold_otsu(values)) if np.ptp(values) > 0 else 0.0


def lesion_above(distance: Array, seen: Array, level: float, near: Array | None = None) -> Array:
    """The part of the picture beyond a colour distance that is the lesion, without holes; may be empty.

    Args:
        distance: of `colour_distance`, shape (h, w).
        seen: where to look, shape (h, w).
        level: colour distance at the outline; below `FAINTEST` nothing is found.
        near: weights; the part with the largest sum of them is the lesion. By default the picture's centre.
    """
    from scipy import ndimage
    from skimage.morphology import disk

    pixels = _pixels(distance)
    weights = np.exp(-((_radius(distance) / 0.5) ** 2)) if near is None else near
    beyond = ndimage.binary_opening((distance > level) & seen & (level >= FAINTEST), iterations=pixels(1))
    parts, count = ndimage.label(beyond)
    if count == 0 or not (weights * beyond).any():
        return np.zeros(distance.shape, bool)
    kept = parts == 1 + int(np.argmax(ndimage.sum(weights, parts, np.arange(1, count + 1))))
    reach = pixels(3)
    closed = ndimage.binary_closing(np.pad(kept, 2 * reach), iterations=reach)
    filled = ndimage.binary_fill_holes(closed)[2 * reach : -2 * reach, 2 * reach : -2 * reach] & seen
    # Limbs thinner than this are leftovers of hair and uneven skin; a lesion that is all limb stays as it is.
    without_limbs = ndimage.binary_opening(filled, disk(reach))
    return np.asarray(without_limbs if without_limbs.any() else filled)


def central_disc(shape: tuple[int, ...]) -> Array:
    """The answer where nothing can be seen: a disc at the centre, half the shorter side across, shape (h, w)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    squared = (y - (shape[0] - 1) / 2) ** 2 + (x - (shape[1] - 1) / 2) ** 2
    return np.asarray(squared <= (min(shape[:2]) / 4) ** 2)


def _outlined(picture: Array) -> Array:
    distance, seen = colour_distance(picture)
    found = lesion_above(distance, seen, outline_level(distance, seen))
    return found if found.any() else central_disc(picture.shape)


def _pixels(picture: Array) -> Any:
    """Lengths at `REFERENCE_SIDE` to whole pixels of this picture, at least one."""
    scale = min(picture.shape[:2]) / REFERENCE_SIDE
    return lambda length: max(1, round(length * scale))


def _radius(picture: Array) -> Array:
    """Distance from the centre, 1 at the middle of each side, shape (h, w)."""
    y, x = (np.linspace(-1, 1, n) for n in picture.shape[:2])
    return np.hypot(y[:, None], x[None])
