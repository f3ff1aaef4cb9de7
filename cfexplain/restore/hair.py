"""Hair and ruler marks removed from dermoscopic images: detected, then inpainted by the prior or a classic method.

Removal can erase what a clinician reads: a thin pigment line or a vessel may be taken for a hair. It is off by default,
and the mask (`hair_mask`) shows what was inpainted.
"""

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from cfexplain.dermoscopy.artefacts import find_artefacts
from cfexplain.images import to_uint8
from cfexplain.method.stage import Method
from cfexplain.restore.preset import DEHAIR
from cfexplain.restore.restoration import ONCE, Restoration, Run, inpaint
from cfexplain.types import Image, Mask

# A mask is grown by this share of the longer side, because the rim of a hair is half hair, half skin.
RIM = 0.004


def dehair(image: Image, *, mask: Mask | None = None, method: Method | str = DEHAIR, run: Run = ONCE) -> Restoration:
    """Inpaint hair and ruler marks; all other pixels keep their values.

    Only the neighbourhood of the marks is fitted. If nothing is detected, the image is returned after 0 steps.

    Args:
        image: RGB in [0, 1], any size.
        mask: 1 on what is to be removed; None detects it by `hair_mask`.
        method: an inpainting method, or one of `WAYS` by name: prior (`DEHAIR`), dullrazor or opencv.
        run: seed, number of runs, time limit.

    Raises:
        TypeError, ValueError: not an image, a mask of another size, or an unknown method.

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
    if isinstance(method, str) and method not in WAYS:
        raise ValueError(f"there is no way {method} to take hair off: use prior, dullrazor or opencv")
    missing, images = hair_mask(image) if mask is None else mask, image[None]
    (height, width), (h, w) = missing.shape[-2:], image.shape[-2:]
    if (height, width) != (h, w):
        raise ValueError(f"the mask is of {width}x{height} pixels, the picture of {w}x{h}")
    hair = missing[0] > 0.5
    if bool(hair.all()):
        raise ValueError("the mask covers everything: it is white on hair, black on the skin to paint from")
    method = DEHAIR if method == "prior" else method
    if isinstance(method, str):
        filled = CLASSIC[method](image.cpu(), missing.cpu())[None]
        return Restoration(filled, filled, method, (0,), ("stopped",), 0.0, ())
    if not bool(hair.any()):
        return Restoration(images, images, method.name, (0,), ("stopped",), 0.0, ())
    box = (..., _neighbourhood(hair.any(1)), _neighbourhood(hair.any(0)))
    found = inpaint(images[box], missing[None][box], method=method, run=run)
    restored, output = images.clone(), images.clone()
    restored[box], output[box] = found.image, found.painted
    return replace(found, image=restored, painted=output)


def hair_mask(image: Image) -> Mask:
    """Detected hair and ruler marks, `grown` by their rim."""
    found = find_artefacts(image)
    return grown(torch.maximum(found["hair"], found["ruler"]))


def grown(mask: Mask) -> Mask:
    """A mask dilated by a square of `RIM` of the longer side, at least one pixel, on each side."""
    reach = max(1, round(RIM * max(mask.shape[-2:])))
    return torch.nn.functional.max_pool2d(mask[None].float(), 2 * reach + 1, 1, reach)[0]


def dullrazor(image: Image, mask: Mask) -> Image:
    """DullRazor: each masked pixel from the skin at both ends of the shortest of four lines across the hair.

    The value is interpolated linearly; a median along the mask follows.

    Source: Lee et al., "DullRazor", Comput. Biol. Med. 27, 1997, steps 2 and 3. Deviations: the skin pixels are the
    nearest (they use the 11th beyond the hair's border), the median is 3 x 3 (5 x 5 there); detection is `hair_mask`.
    """
    values, hair = image.permute(1, 2, 0).double().numpy(), mask[0].numpy() > 0.5
    filled = values.copy()
    for y, x in np.argwhere(hair):
        filled[y, x] = _across(values, hair, int(y), int(x))
    filled[hair] = cv2.medianBlur(filled.astype(np.float32), 3)[hair]
    return torch.from_numpy(filled).permute(2, 0, 1).to(image)


def opencv(image: Image, mask: Mask) -> Image:
    """OpenCV's inpainting by fast marching (Telea 2004), in eight bits; other pixels keep their values."""
    holes = (mask[0].numpy() > 0.5).astype(np.uint8)
    filled = np.asarray(cv2.inpaint(to_uint8(image), holes, 3.0, cv2.INPAINT_TELEA))
    inpainted = torch.from_numpy(filled).permute(2, 0, 1).to(image) / 255
    return torch.where(mask > 0.5, inpainted, image)


# Methods without the prior, by name.
CLASSIC = {"dullrazor": dullrazor, "opencv": opencv}
WAYS = ("prior", *CLASSIC)


def _across(values: np.ndarray, hair: np.ndarray, y: int, x: int) -> np.ndarray:
    """A pixel's value from the skin at both ends of the shortest line through the hair, or at one end, or its own."""
    lines = [[_skin(hair, y, x, s * dy, s * dx) for s in (1, -1)] for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))]
    ends = [end for line in lines for end in line if end is not None]
    both = [(line[0], line[1]) for line in lines if line[0] is not None and line[1] is not None]
    if not both:
        return np.asarray(values[min(ends)[1]] if ends else values[y, x])
    (near, first), (far, second) = min(both, key=lambda line: line[0][0] + line[1][0])
    return np.asarray((far * values[first] + near * values[second]) / (near + far))


def _skin(hair: np.ndarray, y: int, x: int, dy: int, dx: int) -> tuple[float, tuple[int, int]] | None:
    """Distance and position of the nearest pixel without hair in a direction."""
    for k in range(1, max(hair.shape)):
        row, column = y + k * dy, x + k * dx
        if not (0 <= row < hair.shape[0] and 0 <= column < hair.shape[1]):
            return None
        if not hair[row, column]:
            return k * float(np.hypot(dy, dx)), (row, column)
    return None


def _neighbourhood(marked: Tensor) -> slice:
    """From the first to the last marked row or column, and a quarter of that, at least 32, on each side."""
    places = torch.where(marked)[0]
    first, last = int(places[0]), int(places[-1]) + 1
    margin = max(32, (last - first) // 4)
    return slice(max(0, first - margin), last + margin)
