"""Find a change unlike those already found."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from cfexplain.terms.pixels import Reference, reference_image
from cfexplain.types import Candidate


@dataclass(frozen=True, eq=False)
class Unlike:
    """Mean over earlier changes p of their squared cosine with the change d, (d . p)^2 / (|d|^2 |p|^2), in [0, 1].

    Attributes:
        changes: earlier changes of the same images, each of shape (n, 3, h, w); without any the term is zero.
        to: the image the change is measured against.

    Source: diversity by orthogonality, after Rodriguez et al. 2021 (DiVE), in pixels instead of latents: ours.
    """

    changes: tuple[Tensor, ...] = ()
    to: Reference = "anchor"

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Mean squared cosine of each image."""
        d = (candidate.image - reference_image(candidate, self.to)).flatten(1)
        value = 0 * d.sum(1)
        for change in self.changes:
            p = change.to(d).flatten(1)
            # The floor keeps the first steps, where nothing has changed yet, from turning on noise.
            energy = (d.square().sum(1) + 1e-6 * d.shape[1]) * p.square().sum(1).clamp_min(1e-12)
            value = value + (d * p).sum(1).square() / energy / len(self.changes)
        return value
