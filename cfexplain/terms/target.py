"""Reach the target class, up to a requested confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import precise
from cfexplain.terms.features import require_prediction
from cfexplain.types import Candidate, mean_over_views


@dataclass(frozen=True)
class TargetClass:
    """Cross entropy -log p_t(x') of the target class t, in nats; with a confidence c, max(0, log c - log p_t).

    Where the stage has views, it is the mean over x' and its views.

    Attributes:
        confidence: probability of the target class beyond which the term is zero; None has no such limit.

    Raises:
        ValueError: the problem has no classifier or no target.

    Source: the term L_fc of DISC (Thiagarajan et al. 2021); the hinge at a requested confidence is ours.
    """

    confidence: float | None = None
    uses_classifier: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise ValueError(f"confidence is a probability between 0 and 1, got {self.confidence}")

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Cross entropy of each image."""
        require_prediction(candidate, self)
        if candidate.problem.target is None:
            raise ValueError("TargetClass needs a target class, but the problem has none")
        target = candidate.problem.target
        cost = self._cost(candidate.prediction.logits, target)  # type: ignore[union-attr]
        if candidate.views is None:
            return cost
        seen = candidate.views.logits
        return mean_over_views(cost, self._cost(seen, target.repeat(len(seen) // len(target))))

    def _cost(self, logits: Tensor, target: Tensor) -> Tensor:
        cost = F.cross_entropy(precise(logits), target, reduction="none")
        return cost if self.confidence is None else F.relu(cost + math.log(self.confidence))
