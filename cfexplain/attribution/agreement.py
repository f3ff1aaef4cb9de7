"""Does a map point where the counterfactual changes the image, and where the lesion is?"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.attribution.swap import places
from cfexplain.explanation.metrics.place import inside_lesion
from cfexplain.search.edit import Edit

TOP = 0.1
"""The share of pixels that counts as a map's top."""


def magnitude(values: Float[Tensor, "c h w"]) -> Float[Tensor, "h w"]:
    """A change as one number a pixel: the sum over channels of its magnitude, as COUT ranks it."""
    return values.abs().sum(0)


def rank_correlation(one: Float[Tensor, "h w"], other: Float[Tensor, "h w"]) -> float:
    """Spearman's correlation of two maps' magnitudes over pixels, in [-1, 1]; 0 where one of them is constant.

    Changes and maps both follow the picture's edges, so that a correlation with the change is no evidence of what the
    model has learned: maps of a network with shuffled weights can reach as much. Swapped pixels tell more.

    Example:
        >>> rank_correlation(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[-2.0, 4.0, 8.0]]))
        1.0

    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, compare magnitudes likewise.
    """
    from scipy.stats import rankdata

    a, b = (torch.from_numpy(rankdata(m.abs().flatten().double().cpu().numpy())) for m in (one, other))
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a.square().sum() * b.square().sum()))
    return round(float((a * b).sum()) / scale, 9) if scale > 0 else 0.0


def top_overlap(one: Float[Tensor, "h w"], other: Float[Tensor, "h w"], share: float = TOP) -> float:
    """Intersection over union of the two maps' top pixels; two random maps reach share / (2 - share).

    Example:
        >>> top_overlap(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[4.0, 3.0, 2.0, 1.0]]), share=0.75)
        0.5
    """
    if not (bool(one.any()) and bool(other.any())):
        return 0.0  # what is zero everywhere has no top
    count = max(1, round(share * one.numel()))
    a, b = ((places(m) < count) & (m != 0) for m in (one, other))  # what is zero is no top, however few are not
    return float((a & b).sum()) / float((a | b).sum())


def energy_inside(counterfactual: Edit, heatmap: Float[Tensor, "h w"]) -> float:
    """Share of the map's squared magnitude on the lesion's mask: `inside_lesion` of the map instead of the change."""
    largest = heatmap.abs().max()
    as_change = (heatmap.abs() / (largest if largest > 0 else 1)).to(counterfactual.query)[None, None]
    found = inside_lesion(replace(counterfactual, anchor=torch.zeros_like(as_change), painted=as_change))
    return math.nan if found is None else float(found)


def pointing(heatmap: Float[Tensor, "h w"], mask: Float[Tensor, "1 h w"]) -> float:
    """The pointing game: 1 where the map's highest pixel lies on the mask, else 0; chance is the mask's area.

    Source: Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016.
    """
    if not bool(heatmap.any()):
        return 0.0  # it points nowhere
    return float(mask[0][places(heatmap).to(mask.device) == 0] > 0.5)


def agreement(counterfactual: Edit, heatmap: Float[Tensor, "h w"]) -> dict[str, float]:
    """All of these of one map and one counterfactual; those of the mask are missing without one."""
    change = magnitude(counterfactual.difference[0]).to(heatmap.device)
    mask = counterfactual.mask
    if not bool(change.any()):  # whose strongest pixels would be the picture's first
        same = dict.fromkeys(("rank_correlation", "top_overlap"), math.nan)
    else:
        same = {"rank_correlation": rank_correlation(heatmap, change), "top_overlap": top_overlap(heatmap, change)}
    return same | {
        "energy_inside": energy_inside(counterfactual, heatmap),
        "pointing": math.nan if mask is None else pointing(heatmap, mask[0]),
    }
