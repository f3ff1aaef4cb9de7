"""Keep the query's edges and texture, as the classifier's first layers represent them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import precise
from cfexplain.terms.features import require_prediction
from cfexplain.types import Candidate

QUIET = 1e-2
"""Share of the mean squared norm of an image's features below which a feature vector counts as noise."""


@dataclass(frozen=True)
class PerceptualDistance:
    """Mean over the shallow taps l, and over places p, of |u_lp(x') - u_lp(x)|^2, u_lp = f_lp / sqrt(|f_lp|^2 + e).

    f_lp are the features of tap l at place p, x is the query, e is a hundredth of the mean of |f_lp(x)|^2 over places.
    The distance compares which features a position has, not their strength: a change that follows existing edges and
    texture is cheap, one that removes them or draws new ones on smooth skin is expensive. 0 for the
    query, 4 at most.

    Attributes:
        share: of the taps, from the shallow end, rounded up; the deep ones tell classes apart, and must move.

    Raises:
        ValueError: the classifier has no taps.

    Source: LPIPS (Zhang et al. 2018, equation 1) by the explained classifier's own first layers, without learned
    weights, so that nothing has to be fetched: ours; experiments/isic_paired.py compares the default with what it was.

    Example:
        >>> PerceptualDistance().share
        0.5
    """

    share: float = 0.5
    uses_classifier: ClassVar[bool] = True

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Distance of each image."""
        require_prediction(candidate, self)
        ours, theirs = candidate.prediction.features, candidate.problem.source.features  # type: ignore[union-attr]
        if not theirs:
            raise ValueError("PerceptualDistance needs features, but the classifier has no taps")
        count = math.ceil(self.share * len(theirs))
        return torch.stack([_apart(a, b.detach()) for a, b in zip(ours[:count], theirs[:count], strict=True)]).mean(0)


def _apart(ours: Tensor, theirs: Tensor) -> Float[Tensor, " n"]:
    """Mean over places of the squared distance of the vectors at unit length."""
    channels = -1 if ours.ndim == 3 else 1  # tokens (n, places, channels); maps (n, channels, h, w) or vectors
    ours, theirs = precise(ours), precise(theirs)
    lengths = theirs.square().sum(channels, keepdim=True)
    usual = lengths.reshape(len(lengths), -1).mean(1).view(-1, *[1] * (ours.ndim - 1))
    floor = QUIET * usual + 1e-12
    units = (f / (f.square().sum(channels, keepdim=True) + floor).sqrt() for f in (ours, theirs))
    return (next(units) - next(units)).square().sum(channels).reshape(len(ours), -1).mean(1)
