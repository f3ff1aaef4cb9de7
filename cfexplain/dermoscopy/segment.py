"""Lesion segmentation from colour alone, for images that come without a mask."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import check_images
from cfexplain.types import Image, Images

Array = np.ndarray[Any, np.dtype[Any]]

# Lengths in pixels below hold for an image whose shorter side is this long, and scale with the image.
REFERENCE_SIDE = 128
# The outline lies at this share of Otsu's threshold: experts outline generously, Otsu keeps only the dark core.
# A compromise between 150 training lesions of HAM10000 (mean IoU .78, .77, .74 at 0.6, 0.7, 0.8) and 80 synthetic ones,
# for which a higher share recovers the true border and asymmetry better.
OTSU_SHARE = 0.65
FAINTEST = 4.0  # An outline level below this colour distance (CIELAB units) is skin noise, not a lesion.


def segment(images: Images) -> Float[Tensor, "n 1 h w"]:
    """Segment the lesion in each image: 1 on the lesion, 0 elsewhere. The mask is never empty.

    Each pixel's distance to the colour of the image's own skin is thresholded at `OTSU_SHARE` of Otsu's threshold; the
    most central component is kept and its holes are filled. Where nothing is found, the mask is a central disc.

    Skin is expected near the edges of the image.

    Raises:
        TypeError, ValueError: not images, see `check_images`.

    Example:
        >>> grey = torch.full((1, 3, 32, 32), 0.7)
        >>> grey[:, :, 10:20, 8:24] = 0.3
        >>> float(segment(grey)[0, 0, 15, 15]), float(segment(grey)[0, 0, 2, 2])
        (1.0, 0.0)

    Source: N. Otsu, IEEE Trans. SMC 9, 1979, for the threshold; T. Lee et al., "DullRazor", Comput. Biol. Med. 27,
    1997, for the idea of `without_hair`. The rest is ours; measured by experiments/readout_check.py.
    """
    check_images(images)
    found = []
    for image in images:
        distance, valid = colour_distance(as_array(image))
        lesion = lesion_above(distance, valid, outline_level(distance, valid))
        found.append(lesion if lesion.any() else central_disc(lesion.shape))
    return torch.from_numpy(np.stack(found)[:, None]).to(images)


def as_array(image: Image) -> Array:
    """One image as float64, shape (h, w, 3)."""
    return image.detach().cpu().double().permute(1, 2, 0).numpy()


def lab(colours: Array) -> Array:
    """CIELAB of RGB in [0, 1], shape (h, w, 3)."""
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(colours))


def as_mask(mask: Tensor, image: Image) -> Array:
    """A mask as booleans, shape (h, w); a ValueError where its size is not the image's."""
    height, width = image.shape[-2:]
    if mask.shape[-2:] != (height, width) or mask.numel() != height * width:
        raise ValueError(f"the mask must have shape (1, {height}, {width}), got {tuple(mask.shape)}")
    return np.asarray(mask.detach().cpu().reshape(height, width).numpy() > 0.5)


def without_hair(image: Array) -> Array:
    """The image with thin dark lines replaced by their surroundings, shape (h, w, 3).

    A line is a component that a closing with a disc brightens by more than 0.06 and that is long (a fifth of the side)
    and thin (at most four pixels at `REFERENCE_SIDE`). Dots and networks of pigment are neither, and stay.
    """
    from scipy import ndimage
    from skimage.morphology import disk

    side, footprint = min(image.shape[:2]), disk(pixels(image, 2.5))
    closed = np.stack([ndimage.grey_closing(channel, footprint=footprint) for channel in np.moveaxis(image, 2, 0)], 2)
    parts, _ = ndimage.label((closed - image).mean(2) > 0.06, np.ones((3, 3)))
    hair = np.zeros(image.shape[:2], bool)
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
        length = np.hypot(rows.stop - rows.start, columns.stop - columns.start)
        if length > side / 5:
            part = parts[rows, columns] == number
            hair[rows, columns] |= part & bool(part.sum() < 4 * pixels(image, 1) * length)
    soft = ndimage.gaussian_filter(ndimage.binary_dilation(hair).astype(float), pixels(image, 1) / 2)[..., None]
    return np.asarray(image + soft.clip(0, 1) * (closed - image))


def dark_corners(image: Array) -> Array:
    """True on the black surround of a circular field of view, which is neither lesion nor skin, shape (h, w)."""
    from scipy import ndimage

    # The padding keeps the opening from eroding what touches the edge of the image.
    dark = ndimage.binary_opening(np.pad(image.max(2) < 0.25, 2, mode="edge"))[2:-2, 2:-2]
    parts, _ = ndimage.label(dark)
    corners = {int(parts[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    surround = np.isin(parts, list(corners)) & (radius(image) > 0.8)
    return np.asarray(ndimage.binary_dilation(surround, iterations=pixels(image, 3)))


def skin_colour(image: Array, ignored: Array) -> Array:
    """The skin's colour: the median of the brighter half of the pixels near the edge, RGB in [0, 1], shape (3,)."""
    outer = image[~ignored & (radius(image) > 0.85)]
    outer = outer if len(outer) >= 20 else image.reshape(-1, 3)
    brightness = outer.sum(1)
    return np.asarray(np.median(outer[brightness >= np.median(brightness)], 0))


def colour_distance(image: Array) -> tuple[Array, Array]:
    """How unlike skin each pixel is, smoothed, in CIELAB units, and where the image is valid; shapes (h, w).

    d = sqrt(min(L - L_skin, 0)^2 + 2 (a - a_skin)^2 + 2 (b - b_skin)^2 + (100 min(blue - blue_skin, 0))^2): only
    darker pixels count, and blue light is what melanin absorbs most.
    """
    from scipy import ndimage

    clean = without_hair(image)
    corners = dark_corners(clean)
    skin = skin_colour(clean, corners)
    lightness, green_red, blue_yellow = np.moveaxis(lab(clean) - lab(skin[None, None]), 2, 0)
    blue = 100 * np.minimum(clean[..., 2] - skin[2], 0)
    squared = np.minimum(lightness, 0) ** 2 + 2 * green_red**2 + 2 * blue_yellow**2 + blue**2
    return ndimage.gaussian_filter(np.sqrt(squared), pixels(image, 2)), ~corners


def outline_level(distance: Array, valid: Array) -> float:
    """The colour distance at which the lesion's outline lies: `OTSU_SHARE` of Otsu's threshold."""
    from skimage.filters import threshold_otsu

    values = distance[valid]
    return OTSU_SHARE * float(threshold_otsu(values)) if np.ptp(values) > 0 else 0.0


def lesion_above(distance: Array, valid: Array, level: float, near: Array | None = None) -> Array:
    """The connected component above a colour distance that is the lesion, without holes; may be empty.

    Of the components where `valid`, that with the largest sum of the weights `near` is the lesion; None prefers the
    centre. Below the level `FAINTEST` nothing is found.
    """
    from scipy import ndimage
    from skimage.morphology import disk

    weights = np.exp(-((radius(distance) / 0.5) ** 2)) if near is None else near
    above = (distance > level) & valid & (level >= FAINTEST)
    above = ndimage.binary_opening(above, iterations=pixels(distance, 1))
    parts, count = ndimage.label(above)
    if not (weights * above).any():
        return np.zeros(distance.shape, bool)
    kept = parts == 1 + int(np.argmax(ndimage.sum(weights, parts, np.arange(1, count + 1))))
    reach = pixels(distance, 3)
    closed = ndimage.binary_closing(np.pad(kept, 2 * reach), iterations=reach)
    filled = ndimage.binary_fill_holes(closed)[2 * reach : -2 * reach, 2 * reach : -2 * reach] & valid
    # Thin extensions are remains of hair and uneven skin; a lesion that is thin everywhere stays as it is.
    compact = ndimage.binary_opening(filled, disk(reach))
    return np.asarray(compact if compact.any() else filled)


def central_disc(shape: tuple[int, ...]) -> Array:
    """The fallback mask: a disc at the centre, half the shorter side in diameter, shape (h, w)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    squared = (y - (shape[0] - 1) / 2) ** 2 + (x - (shape[1] - 1) / 2) ** 2
    return np.asarray(squared <= (min(shape[:2]) / 4) ** 2)


def pixels(image: Array, length: float) -> int:
    """A length at `REFERENCE_SIDE` in whole pixels of this image, at least one."""
    return max(1, round(length * int(min(image.shape[:2])) / REFERENCE_SIDE))


def radius(image: Array) -> Array:
    """Distance from the centre, 1 at the middle of each side, shape (h, w)."""
    y, x = (np.linspace(-1, 1, n) for n in image.shape[:2])
    return np.hypot(y[:, None], x[None])
