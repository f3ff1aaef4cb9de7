"""Stay close in pixels, everywhere or where they are known; be smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
        right, down = F.pad(x.diff(dim=3), (0, 1)), F.pad(x.diff(dim=2), (0, 0, 0, 1))
        squared = right.square() + down.square()
        values = squared if self.power == 2 else (squared + self.epsilon) ** (self.power / 2)
        return values.flatten(1).mean(1)
