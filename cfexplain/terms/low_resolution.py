"""Match the low-resolution image after downsampling: the data term of super-resolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Candidate, Images


@dataclass(frozen=True)
class LowResolution:
    """Mean squared difference between the reduced image d(x') and the query, over channels and pixels (intensity^2).

    d is the Lanczos filter of `downsample`. A query of the image's own size is reduced too.

    Attributes:
        factor: how many times smaller d(x') is on each side.

    Raises:
        ValueError: the image is not `factor` times as large as the query.

    Source: Ulyanov et al. 2018, equation 4, with the released downsampler (lanczos2, phase 1/2).

    Example:
        >>> from cfexplain.types import Problem
        >>> seen = Candidate(torch.full((1, 3, 32, 32), 0.5), Problem(torch.full((1, 3, 8, 8), 0.4)))
        >>> round(float(LowResolution(4)(seen)), 4)
        0.01
    """

    factor: int = 4

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Mean squared difference of each image."""
        query = candidate.problem.query
        if query.shape[-2:] == candidate.image.shape[-2:]:
            query = downsample(query, self.factor)
        small = downsample(candidate.image, self.factor)
        if small.shape != query.shape:
            raise ValueError(f"an image of {tuple(candidate.image.shape)} is not {self.factor} times the query")
        return (small - query).square().flatten(1).mean(1)


def downsample(images: Images, factor: int) -> Images:
    """Reduce each side by a factor: a Lanczos filter of support 2 and 4 * factor taps (one less where that is odd).

    The border is replicated.

    Args:
        images: shape (n, c, h, w), sides multiples of the factor.
        factor: 2 or more.

    Returns:
        shape (n, c, h / factor, w / factor).

    Source: `lanczos2` with phase 1/2 of the released code of Ulyanov et al. 2018; separable here; odd factors: ours.
    """
    channels, taps = images.shape[1], _taps(factor, images)
    pad = (len(taps) - factor) // 2
    padded = F.pad(images, (pad, pad, pad, pad), mode="replicate")
    down = F.conv2d(padded, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(factor, 1), groups=channels)
    return F.conv2d(down, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, factor), groups=channels)


def _taps(factor: int, like: Tensor, support: int = 2) -> Float[Tensor, " k"]:
    """The windowed sinc sinc(t) sinc(t / support) around the middle of `factor` pixels, adding up to 1."""
    count = 2 * support * factor - factor % 2
    t = (torch.arange(count, dtype=torch.float64) - (count - 1) / 2) / factor
    weights = torch.sinc(t) * torch.sinc(t / support)
    return (weights / weights.sum()).to(like)


def upsample(images: Images, factor: int) -> Images:
    """Enlarge each side by a factor, bicubically, cut to [0, 1]: the plain answer, and where free pixels start."""
    grown = F.interpolate(images, scale_factor=factor, mode="bicubic", align_corners=False)
    return grown.clamp(0, 1)
