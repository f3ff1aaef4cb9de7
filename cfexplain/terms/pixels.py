"""Terms of pixels alone: close to the query, everywhere, where it is known, or when reduced; smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Candidate, Images

Reference = Literal["query", "anchor"]


def reference_image(candidate: Candidate, reference: Reference) -> Images:
    """The image that a candidate is compared with; the query while there is no anchor."""
    if reference == "anchor" and candidate.anchor is not None:
        return candidate.anchor
    return candidate.problem.query


@dataclass(frozen=True)
class SamePixels:
    """Mean squared difference to the query or the anchor, over channels and pixels (intensity^2).

    Attributes:
        to: which image to stay close to.

    Source: Ulyanov et al. 2018, equation 2; to the anchor: ours.
    """

    to: Reference = "query"

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Mean squared difference of each image."""
        return (candidate.image - reference_image(candidate, self.to)).square().flatten(1).mean(1)


@dataclass(frozen=True)
class KnownPixels:
    """Squared difference to the query where the problem's region is 0, that is where pixels are known.

    Averaged over the known pixels and channels (intensity^2); everywhere where the problem has no region.

    Source: the inpainting term ||(x - x0) * m||^2 of Ulyanov et al. 2018, equation 5, divided by the count.
    """

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Mean squared difference over the known pixels of each image."""
        squared = (candidate.image - candidate.problem.query).square()
        if candidate.problem.region is None:
            return squared.flatten(1).mean(1)
        known = (1 - candidate.problem.region).expand_as(squared)
        return (squared * known).flatten(1).sum(1) / known.flatten(1).sum(1).clamp_min(1)


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


@dataclass(frozen=True)
class TotalVariation:
    """Mean over pixels and channels of ((x[i,j+1]-x[i,j])^2 + (x[i+1,j]-x[i,j])^2 + eps)^(power/2).

    Differences beyond the border are zero (replicated border). power 2 is the squared, 1 the isotropic
    total variation; divided by the number of values, so that it does not depend on the image's size.

    Attributes:
        power: exponent beta.
        epsilon: keeps the gradient finite where the image is flat (power below 2).

    Source: Mahendran and Vedaldi 2015, equation 4 (sum; beta = 2 in their experiments); the mean is ours.
    """

    power: float = 2.0
    epsilon: float = 1e-8

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Total variation of each image."""
        x = candidate.image
        right = F.pad(x[..., :, 1:] - x[..., :, :-1], (0, 1))
        down = F.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
        squared = right.square() + down.square()
        values = squared if self.power == 2 else (squared + self.epsilon) ** (self.power / 2)
        return values.flatten(1).mean(1)


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
