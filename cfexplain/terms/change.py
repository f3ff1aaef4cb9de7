"""Penalties on the change: sparse, compact, without new colours."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from cfexplain.terms.pixels import Reference, reference_image
from cfexplain.types import Candidate

ROUNDING = 1e-6
"""At the first step a smaller change (intensity) counts as none: it is rounding, such as between a batch and a single
image, and its sign would be followed like that of a real change."""


@dataclass(frozen=True)
class SparseChange:
    """Mean absolute change over channels and pixels, |x' - anchor| (intensity); its minimum has few changed pixels.

    Attributes:
        to: the image the change is measured against.

    Source: Wachter et al. 2017 use L1 for sparse counterfactuals; against the anchor: ours.
    """

    to: Reference = "anchor"

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Mean absolute change of each image."""
        return _size(candidate, self.to).flatten(1).mean(1)


@dataclass(frozen=True)
class CompactChange:
    """Length of the change's outline: mean over pixels of |m[i,j+1] - m[i,j]| + |m[i+1,j] - m[i,j]|.

    m is the mean absolute change over channels (intensity). By the co-area formula the mean is that of the outline's
    length over all levels of m, so that of two changes of equal sum the one in one round piece costs least, and
    specks cost most.

    Attributes:
        to: the image the change is measured against.

    Source: ours; total variation (Rudin et al. 1992) of the change instead of the image, as an outline's length in
    Chambolle and Pock 2011. `natural, not compact` in experiments/isic_paired.py leaves it out.
    """

    to: Reference = "anchor"

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Mean outline length of each image's change."""
        size = _size(candidate, self.to).mean(1)
        right, down = size.diff(dim=2).abs(), size.diff(dim=1).abs()
        return (right.flatten(1).sum(1) + down.flatten(1).sum(1)) / size[0].numel()


@dataclass(frozen=True)
class SameColour:
    """Mean squared change of colour, (d - mean over channels of d)^2 with d = x' - anchor (intensity).

    A change of brightness costs nothing, a slight tint little, and a colour that the lesion does not have much.

    Attributes:
        to: the image the change is measured against.

    Source: ours. Squared, because an absolute value lets saturated spots through (seen on 16 validation lesions);
    `natural, free colour` in experiments/isic_paired.py leaves the term out.
    """

    to: Reference = "anchor"

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Mean squared change of colour of each image."""
        change = candidate.image - reference_image(candidate, self.to)
        return (change - change.mean(1, keepdim=True)).square().flatten(1).mean(1)


def _size(candidate: Candidate, to: Reference) -> Tensor:
    """Absolute change of each channel and pixel."""
    size = (candidate.image - reference_image(candidate, to)).abs()
    return size * (size > ROUNDING) if candidate.progress == 0 else size
