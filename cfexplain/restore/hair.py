"""Taking hair and ruler marks off a picture of a lesion: found, then painted over by the prior, or classically.

Cleaning can remove what a clinician reads: a thin pigment line or a vessel may be taken for a hair. It is an option,
off by default, and the mask (`hair_mask`) says what was painted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import to_uint8
from cfexplain.method.stage import Method
from cfexplain.restore.preset import DEHAIR
from cfexplain.restore.restoration import ONCE, Restoration, Run, inpaint
from cfexplain.types import Image

Mask = Float[Tensor, "1 h w"]

RIM = 0.004
"""A mask is grown by this share of the longer side: a hair's rim is half hair, half skin."""


def dehair(picture: Image, *, mask: Mask | None = None, method: Method = DEHAIR, run: Run = ONCE) -> Restoration:
    """Paint skin where there was hair or a ruler mark; all other pixels are kept exactly.

    Only the neighbourhood of the marks is painted where they are in one place. Where nothing is found, the picture
    comes back unchanged after 0 steps.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.
        mask: 1 on what is to go, shape (1, h, w); None finds it by `hair_mask`.
        method: a way to inpaint.
        run: seed, repetitions, time.

    Raises:
        TypeError, ValueError: no picture, or a mask of another size.

    Source: ours.

    Example:
        >>> from cfexplain.restore import fast
        >>> skin = torch.full((3, 48, 64), 0.8)
        >>> skin[:, 20:22, 5:60] = 0.2
        >>> mask = (skin[:1] < 0.5).float()
        >>> clean = dehair(skin, mask=mask, method=fast(DEHAIR, share=0.01)).image[0]
        >>> bool((clean == skin)[:, mask[0] == 0].all())
        True
    """
    missing, images = hair_mask(picture) if mask is None else mask, picture[None]
    check_mask(missing, picture)
    if not bool((missing > 0.5).any()):
        return Restoration(images, images, method.name, (0,), ("stopped",), 0.0, ())
    box = _around(missing)
    found = inpaint(images[box], missing[None][box], method=method, run=run)
    image, painted = images.clone(), images.clone()
    image[box], painted[box] = found.image, found.painted
    return replace(found, image=image, painted=painted)


def check_mask(mask: Mask, picture: Image) -> None:
    """Refuse a mask of another size, or one that leaves no skin to paint from."""
    (height, width), (h, w) = mask.shape[-2:], picture.shape[-2:]
    if (height, width) != (h, w):
        raise ValueError(f"the mask is of {width}x{height} pixels, the picture of {w}x{h}")
    if bool((mask > 0.5).all()):
        raise ValueError("the mask covers everything: it is white on hair, black on the skin to paint from")


def hair_mask(picture: Image, rim: float = RIM) -> Mask:
    """Hair and ruler marks found on a picture, grown by `rim` of its longer side (at least one pixel), (1, h, w)."""
    from cfexplain.dermoscopy.artefacts import find_artefacts

    found = find_artefacts(picture)
    return grown(torch.maximum(found["hair"], found["ruler"]), rim)


def grown(mask: Mask, rim: float = RIM) -> Mask:
    """A mask grown by a square of `rim` of the longer side, at least one pixel, on each side."""
    reach = max(1, round(rim * max(mask.shape[-2:])))
    return F.max_pool2d(mask[None].float(), 2 * reach + 1, 1, reach)[0]


def dullrazor(picture: Image, mask: Mask) -> Image:
    """The classic: each masked pixel from the two nearest skin pixels across the hair, then a median along the mask.

    Of the horizontal, vertical and two diagonal lines through the pixel, the one on which the hair is narrowest is
    taken; the value is interpolated linearly between a skin pixel on each side.

    Source: Lee et al., "DullRazor", Comput. Biol. Med. 27, 1997, steps 2 and 3. Deviations: the skin pixels are the
    nearest (they take the 11th beyond the hair's border), the median is 3 x 3 (5 x 5 there); finding is `hair_mask`.
    """
    import cv2

    values, hair = picture.permute(1, 2, 0).double().numpy(), mask[0].numpy() > 0.5
    filled = values.copy()
    for y, x in np.argwhere(hair):
        filled[y, x] = _across(values, hair, int(y), int(x))
    smooth = cv2.medianBlur(filled.astype(np.float32), 3)
    filled[hair] = smooth[hair]
    return torch.from_numpy(filled).permute(2, 0, 1).to(picture)


def opencv(picture: Image, mask: Mask, radius: float = 3.0) -> Image:
    """OpenCV's inpainting by fast marching (Telea 2004), in eight bits; other pixels are kept."""
    import cv2

    holes = (mask[0].numpy() > 0.5).astype(np.uint8)
    filled = cv2.inpaint(to_uint8(picture), holes, radius, cv2.INPAINT_TELEA)
    painted = torch.from_numpy(np.asarray(filled)).permute(2, 0, 1).to(picture) / 255
    return torch.where(mask > 0.5, painted, picture)


CLASSIC = {"dullrazor": dullrazor, "opencv": opencv}
"""Ways without the prior, by name: a picture and a mask to a picture."""

WAYS = ("prior", *CLASSIC)


def bare(picture: Image, way: str = "prior", *, run: Run = ONCE) -> Image:
    """The picture without the hair and ruler marks that are found on it, by one of `WAYS`.

    Raises:
        ValueError: there is no such way.
    """
    if way not in WAYS:
        raise ValueError(f"there is no way {way} to take hair off: use {', '.join(WAYS)}")
    mask = hair_mask(picture)
    if way == "prior":
        return dehair(picture, mask=mask, run=run).image[0]
    return CLASSIC[way](picture, mask)


def _across(values: np.ndarray, hair: np.ndarray, y: int, x: int) -> np.ndarray:
    """A pixel's value from the skin at both ends of the shortest line through the hair."""
    ends = [(_skin(hair, y, x, dy, dx), _skin(hair, y, x, -dy, -dx)) for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))]
    whole = [(a, b) for a, b in ends if a is not None and b is not None]
    if not whole:
        single = [e for pair in ends for e in pair if e is not None]
        return np.asarray(values[min(single)[1]] if single else values[y, x])
    (near, first), (far, second) = min(whole, key=lambda pair: pair[0][0] + pair[1][0])
    return np.asarray((far * values[first] + near * values[second]) / (near + far))


def _skin(hair: np.ndarray, y: int, x: int, dy: int, dx: int) -> tuple[float, tuple[int, int]] | None:
    """Distance to and place of the first pixel without hair in a direction."""
    for k in range(1, max(hair.shape)):
        row, column = y + k * dy, x + k * dx
        if not (0 <= row < hair.shape[0] and 0 <= column < hair.shape[1]):
            return None
        if not hair[row, column]:
            return k * float(np.hypot(dy, dx)), (row, column)
    return None


def _around(missing: Mask) -> tuple[slice, slice, slice, slice]:
    """The part of the picture that is painted: the mask's bounding box and as much around it as is missing, or 32."""
    rows, columns = (torch.where((missing[0] > 0.5).any(dim))[0] for dim in (1, 0))
    slices = []
    for where, side in ((rows, missing.shape[-2]), (columns, missing.shape[-1])):
        first, last = int(where[0]), int(where[-1]) + 1
        margin = max(32, (last - first) // 4)
        slices.append(slice(max(0, first - margin), min(side, last + margin)))
    return slice(None), slice(None), slices[0], slices[1]
