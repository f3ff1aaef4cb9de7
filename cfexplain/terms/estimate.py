"""Keep the estimated loss low, so that the classifier's prediction can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import precise
from cfexplain.terms.features import require_prediction
from cfexplain.types import Candidate, Prediction, Problem, mean_over_views


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
        seen = None if candidate.views is None or candidate.views.loss is None else candidate.views.loss
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
