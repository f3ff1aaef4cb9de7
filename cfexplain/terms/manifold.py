"""Stay where the target class lives: near its centroid in the classifier's features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from cfexplain.images import precise
from cfexplain.terms.features import require_prediction
from cfexplain.types import Candidate


@dataclass(frozen=True)
class NearClass:
    """-log K_t(x') of the target class t: squared distance of the features to its centroid (no unit, 0 at it).

    K_t = exp(-mean((W_t f - e_t)^2) / (2 sigma^2)) of the features f of x'; the classifier computes it, as
    `distances(features)` of shape (n, k) (see `cfexplain_classifiers.fit_centroids`).

    Raises:
        ValueError: the problem has no target, or the classifier no centroids.

    Source: the manifold-consistency term of DISC (Thiagarajan et al. 2021) by deterministic uncertainty
    (van Amersfoort et al. 2020); that it is -log K of the target class is ours.

    Example:
        >>> from cfexplain.method.objective import total
        >>> len(total((0.1, NearClass())).parts)
        1
    """

    uses_classifier: ClassVar[bool] = True

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Distance of each image to the centroid of its target class."""
        require_prediction(candidate, self)
        target = candidate.problem.target
        distances = getattr(candidate.problem.classifier, "distances", None)
        if target is None or distances is None:
            raise ValueError("NearClass needs a target and a classifier with centroids: fit them (fit_centroids)")
        away: Tensor = distances(candidate.prediction.features)  # type: ignore[union-attr]
        return precise(away).gather(1, target[:, None]).squeeze(1)
