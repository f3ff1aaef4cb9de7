"""Stay the same lesion to the classifier's eyes: match the query's features, or the edges and texture they hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import precise
from cfexplain.types import Candidate

QUIET = 1e-2
"""Share of the mean squared norm of an image's features below which a feature vector counts as noise."""


@dataclass(frozen=True)
class SameFeatures:
    """Mean over tapped layers l of w_l ||Psi_l(x') - Psi_l(x)||^2 / ||Psi_l(x)||^2, a relative error (no unit).

    Attributes:
        layers: which taps, counted from the shallow end (0); None takes all.
        weights: one a chosen layer; None weighs them alike.

    Raises:
        ValueError: the classifier has no taps, or not the named ones.

    Source: the data term ||Psi(x') - Psi(x)||^2 of Mahendran and Vedaldi 2015 with their normalisation by
    ||Psi(x)||^2, over several layers as in Narayanaswamy et al. 2021; the mean over layers is ours.

    Example:
        >>> SameFeatures(layers=(0, 2)).weights is None
        True
    """

    layers: tuple[int, ...] | None = None
    weights: tuple[float, ...] | None = None
    uses_classifier: ClassVar[bool] = True

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Relative error of each image."""
        require_prediction(candidate, self)
        ours, theirs = candidate.prediction.features, candidate.problem.source.features  # type: ignore[union-attr]
        chosen = range(len(theirs)) if self.layers is None else self.layers
        if not theirs or any(not -len(theirs) <= layer < len(theirs) for layer in chosen):
            raise ValueError(f"layers {tuple(chosen)} are asked for, but the classifier has {len(theirs)} taps")
        weights = self.weights or (1.0,) * len(chosen)
        errors = [w * relative_error(ours[k], theirs[k]) for w, k in zip(weights, chosen, strict=True)]
        return torch.stack(errors).mean(dim=0)


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


def relative_error(ours: Tensor, theirs: Tensor) -> Float[Tensor, " n"]:
    """||a - b||^2 / ||b||^2 of each image."""
    theirs = precise(theirs.detach().flatten(1))
    return (precise(ours.flatten(1)) - theirs).square().sum(1) / theirs.square().sum(1).clamp_min(1e-12)


def require_prediction(candidate: Candidate, term: object) -> None:
    """Refuse a term that needs a classifier where there is none."""
    if candidate.prediction is None or candidate.problem.source is None:
        raise ValueError(f"{type(term).__name__} needs a classifier, but the problem has none")


def _apart(ours: Tensor, theirs: Tensor) -> Float[Tensor, " n"]:
    """Mean over places of the squared distance of the vectors at unit length."""
    channels = -1 if ours.ndim == 3 else 1  # tokens (n, places, channels); maps (n, channels, h, w) or vectors
    ours, theirs = precise(ours), precise(theirs)
    lengths = theirs.square().sum(channels, keepdim=True)
    usual = lengths.reshape(len(lengths), -1).mean(1).view(-1, *[1] * (ours.ndim - 1))
    floor = QUIET * usual + 1e-12
    units = (f / (f.square().sum(channels, keepdim=True) + floor).sqrt() for f in (ours, theirs))
    return (next(units) - next(units)).square().sum(channels).reshape(len(ours), -1).mean(1)
