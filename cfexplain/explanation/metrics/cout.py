"""How few of the changed pixels does the change of mind need?"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain.classifier.checks import check_classifier, predict
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier


def cout(edit: Edit, classifier: Classifier, *, steps: int = 50) -> Float[Tensor, " n"]:
    """COUT: the classifier's way from source to target while pixels are swapped, the most changed first.

    COUT = AUC(p_target) - AUC(p_source) in [-1, 1], higher is better, with AUC(p) the trapezoid over k / steps,
    k = 0..steps, of p(x_k), and x_k the query with its k P // steps most changed pixels of P taken from the
    shown image. Change is the sum over channels of |image - query|; equal pixels are taken row by row.

    It rewards large edits (with all of the picture replaced, few pixels suffice): read it beside `changed_share`.

    Args:
        edit: n images; the source is the class predicted of the query.
        classifier: the explained one, in evaluation mode.
        steps: of the curve.

    Raises:
        ValueError: there is no step, or the classifier is in training mode or answers with undefined logits.

    Source: Khorram and Fuxin, "Cycle-Consistent Counterfactuals by Latent Transformations", CVPR 2022, and the
    evaluation of ACE (Jeanneret et al. 2023). They first scale the change to [0, 1], which leaves its order; they
    swap P // steps pixels a step and overshoot 1 where that leaves a rest, we divide P evenly.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    check_classifier(classifier)
    rank, pixels = _rank(edit), edit.query.shape[-2] * edit.query.shape[-1]
    # The difference of the two areas is the area under p_target - p_source.
    lead = torch.stack([_lead(edit, classifier, rank < k * pixels // steps) for k in range(steps + 1)])
    area: Tensor = torch.trapezoid(lead, dx=1 / steps, dim=0)
    return area


def _rank(edit: Edit) -> Int[Tensor, "n 1 h w"]:
    """Place of each pixel in the descending order of change."""
    change = (edit.image - edit.query).abs().sum(1, keepdim=True)
    order = change.flatten(1).argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1).view_as(change)


def _lead(edit: Edit, classifier: Classifier, swapped: Tensor) -> Float[Tensor, " n"]:
    """Probability of the target less that of the source, with the pixels swapped."""
    probabilities = predict(classifier, torch.where(swapped, edit.image, edit.query)).probabilities
    wanted = torch.stack([edit.target, edit.before.logits.argmax(1)], dim=1)
    both = probabilities.gather(1, wanted)
    return both[:, 0] - both[:, 1]
