"""Be smooth: total variation, the classic prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Candidate


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
