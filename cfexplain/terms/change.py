"""Change little and in few places."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from cfexplain.terms.pixels import Reference, reference_image
from cfexplain.types import Candidate


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
        return (candidate.image - reference_image(candidate, self.to)).abs().flatten(1).mean(1)


@dataclass(frozen=True)
class SameColour:
    """Mean absolute change of colour, |d - mean over channels of d| with d = x' - anchor (intensity).

    A change of brightness alone costs nothing; a tint, or a colour that the lesion never had, does.

    Attributes:
        to: the image the change is measured against.

    Source: ours, from a look at a few validation lesions; `free colour` in experiments/natural.py leaves it out.
    """

    to: Reference = "anchor"

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Mean absolute change of colour of each image."""
        change = candidate.image - reference_image(candidate, self.to)
        return (change - change.mean(1, keepdim=True)).abs().flatten(1).mean(1)
