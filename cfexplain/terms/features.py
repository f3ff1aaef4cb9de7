"""Stay the same lesion to the classifier's eyes: match the latent encodings of the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import precise
from cfexplain.types import Candidate


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


def relative_error(ours: Tensor, theirs: Tensor) -> Float[Tensor, " n"]:
    """||a - b||^2 / ||b||^2 of each image."""
    theirs = precise(theirs.detach().flatten(1))
    return (precise(ours.flatten(1)) - theirs).square().sum(1) / theirs.square().sum(1).clamp_min(1e-12)


def require_prediction(candidate: Candidate, term: object) -> None:
    """Refuse a term that needs a classifier where there is none."""
    if candidate.prediction is None or candidate.problem.source is None:
        raise ValueError(f"{type(term).__name__} needs a classifier, but the problem has none")
