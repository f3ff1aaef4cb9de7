"""Where an edit may change the image: the pixels to which the classifier is most sensitive."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.generators.noise import generator_for
from cfexplain.method.views import Views
from cfexplain.types import Problem

DRAWS = 8  # Times that the views of a step are drawn, so that as much memory is needed as for a step.
# Sides of the squares over which sensitivity and the region's edge are averaged twice, as shares of the image's.
SMOOTHING, EDGE = 0.07, 0.03


def salient_region(problem: Problem, share: float, views: Views) -> Float[Tensor, "1 1 h w"]:
    """The smallest region that holds this share of the classifier's squared sensitivity, 1 inside, with a soft edge.

    s = |mean_v d(logit of the target - logit of the source) / dx|, mean over the channels, smoothed, with random views
    v; the region is {s >= t}. It is the same for all seeds, and lies within the region that the user gives.

    Args:
        problem: of one image.
        share: of sum s^2.
        views: as in the edit.

    Source: masks from the classifier's gradient, as in MedDiME and MaskDiME; the mean over views is ours
    (experiments/natural.py).
    """
    sensitivity = _averaged(_sensitivity(problem, views), SMOOTHING)
    inside = 1.0 if problem.region is None else problem.region
    ordered = (sensitivity * inside).flatten().sort(descending=True).values
    held = ordered.square().cumsum(0)
    threshold = ordered[int((held < share * held[-1]).sum().clamp_max(len(held) - 1))]
    return _averaged((sensitivity >= threshold).to(sensitivity), EDGE) * inside


def _sensitivity(problem: Problem, views: Views) -> Float[Tensor, "1 1 h w"]:
    """See `salient_region`."""
    query, rng = problem.query.detach().clone().requires_grad_(), generator_for(problem.query, 0, "saliency")
    sign = query.new_zeros(len(problem.classifier.classes))  # type: ignore[union-attr]
    sign[problem.target], sign[problem.source.logits.argmax(1)] = 1.0, -1.0  # type: ignore[union-attr]
    total = torch.zeros_like(query)
    for _ in range(DRAWS):
        with torch.enable_grad():
            logits = problem.classifier(views.draw(query, rng)).logits  # type: ignore[misc]
            total += torch.autograd.grad((logits @ sign).sum(), query)[0]
    return total.abs().mean(1, keepdim=True)


def _averaged(image: Tensor, side: float) -> Tensor:
    """Averaged twice over squares with a side of this share of the image's."""
    reach = max(1, round(side * min(image.shape[-2:]) / 2))
    for _ in range(2):
        image = F.avg_pool2d(image, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)
    return image
