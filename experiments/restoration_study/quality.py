"""Quality of restored images beside `psnr`: the measures of the restoration literature."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from cfexplain.images import round8
from cfexplain.method.stop import decibels
from cfexplain.restore.restoration import AnyImages


def luminance_psnr(image: AnyImages, truth: AnyImages, border: int = 4) -> float:
    """PSNR of the luminance without a border, the measure of super-resolution.

    Y = (16 + 65.481 r + 128.553 g + 24.966 b) / 255; grey counts as r = g = b.

    Source: the evaluation of Ulyanov et al. 2018: BT.601 luma in [16, 235] / 255, 4 pixels of border.
    """
    first, second = (round8(x).expand(-1, 3, -1, -1).unbind(1) for x in (image, truth))
    y1, y2 = ((16 + 65.481 * r + 128.553 * g + 24.966 * b) / 255 for r, g, b in (first, second))
    inner = (..., slice(border, -border or None), slice(border, -border or None))
    return decibels(float((y1 - y2)[inner].double().square().mean()))


def ssim(image: AnyImages, truth: AnyImages, mask: Float[Tensor, "n 1 h w"] | None = None) -> float:
    """Structural similarity of one image, its map (7 x 7 windows) averaged over channels and over a mask.

    Source: Wang et al. 2004, by scikit-image with its defaults.
    """
    from skimage.metrics import structural_similarity

    first, second = (round8(x)[0].permute(1, 2, 0).cpu().double().numpy() for x in (image, truth))
    _, values = structural_similarity(first, second, channel_axis=2, data_range=1.0, full=True)
    counted = values if mask is None else values[mask[0, 0].cpu().numpy() > 0.5]
    return float(counted.mean()) if counted.size else math.nan
