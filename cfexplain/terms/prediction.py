"""Reach the target class with a prediction that can be trusted: its cross entropy and its estimated loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import precise
from cfexplain.terms.features import require_prediction
from cfexplain.types import Candidate, Prediction, Problem, mean_over_views


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
        target, views = candidate.problem.target, candidate.views
        cost = self._cost(candidate.prediction, target)  # type: ignore[arg-type]
        return mean_over_views(cost, None if views is None else self._cost(views, target))

    def _cost(self, prediction: Prediction, target: Tensor) -> Tensor:
        targets = target.repeat(len(prediction.logits) // len(target))
        cost = F.cross_entropy(precise(prediction.logits), targets, reduction="none")
        return cost if self.confidence is None else F.relu(cost + math.log(self.confidence))


@dataclass(frozen=True)
class EstimatedLoss:
    """The estimated loss of x', standardised: l(x'), or max(0, l(x') - q) with a quantile q.

    Where the stage has views, it is the mean over x' and its views.

    Attributes:
        quantile: q is the estimate below which this share of the correctly classified validation images of
            the target class lies (one of 0.05, 0.25, 0.5, 0.75, 0.95); None minimises the plain estimate.

    Raises:
        ValueError: the classifier has no loss estimator, or no quantiles for the hinge.

    Source: the term L_mc of Narayanaswamy et al. 2021 (plain). The hinge is ours: ranking losses fix only
    order, so the plain estimate has no natural zero and can be driven below every real image.
    """

    quantile: float | None = None
    uses_classifier: ClassVar[bool] = True
    signed: ClassVar[bool] = True

    def __call__(self, candidate: Candidate) -> Float[Tensor, " n"]:
        """Estimated loss of each image, in standard deviations of the validation images."""
        require_prediction(candidate, self)
        loss = _estimate(candidate.prediction)
        floors = None if self.quantile is None else precise(loss).new_tensor(self._floors(candidate.problem))
        seen = None if candidate.views is None else candidate.views.loss
        return mean_over_views(_above(loss, floors), None if seen is None else _above(seen, floors))

    def check(self, problem: Problem) -> None:
        """Refuse a classifier without a loss estimator before any work is done."""
        _estimate(problem.source)
        if self.quantile is not None:
            self._floors(problem)

    def _floors(self, problem: Problem) -> list[float]:
        usual, target = getattr(problem.classifier, "usual_loss", None), problem.target
        if usual is None or target is None:
            raise ValueError(
                "EstimatedLoss(quantile=...) needs a target and a classifier with usual_loss(class, share)"
            )
        return [usual(t, self.quantile) for t in target.tolist()]


def _estimate(prediction: Prediction | None) -> Tensor:
    if prediction is None or prediction.loss is None:
        raise ValueError(
            "the classifier has no loss estimator: fit one (fit_estimator), or use the method without-estimator"
        )
    return prediction.loss


def _above(loss: Tensor, floors: Tensor | None) -> Tensor:
    """The estimate, or how far it lies above its image's floor."""
    loss = precise(loss)
    return loss if floors is None else F.relu(loss - floors.repeat(len(loss) // len(floors)))
