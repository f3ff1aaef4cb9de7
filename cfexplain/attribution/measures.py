"""Measures of how an attribution map agrees with the change of a counterfactual and with the lesion."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.attribution.swap import pixel_rank
from cfexplain.search.edit import Edit
from cfexplain.statistics import spearman
from cfexplain.types import Images

BETTER = {
    "rank_correlation": "higher",
    "top_overlap": "higher",
    "energy_inside": "higher",
    "pointing": "higher",
    "deletion": "lower",
    "insertion": "higher",
    "cout": "higher",
    "sufficiency": "lower",
    "necessity": "lower",
}
"""The better direction of each measure, in the order of the columns."""

CHANGE, EDGES, RANDOM = "counterfactual change", "edges", "random"
REFERENCES = (CHANGE, EDGES, RANDOM)
"""Reference maps: the change agrees with itself, edges need no classifier, noise is chance.

A method that is no better than the edges has shown nothing of what the model has learned, however far above chance it
is: maps, changes and images have their edges in common.
"""


def agreement(edit: Edit, heatmap: Float[Tensor, "h w"]) -> dict[str, float]:
    """Agreement of one map with the change and with the mask; NaN without a change, or without a mask."""
    measures = dict.fromkeys(("rank_correlation", "top_overlap", "energy_inside", "pointing"), math.nan)
    change = magnitude(edit.difference[0]).to(heatmap.device)
    if bool(change.any()):
        measures["rank_correlation"] = rank_correlation(heatmap, change)
        measures["top_overlap"] = top_overlap(heatmap, change)
    if edit.mask is not None:
        mask = edit.mask[0, 0].to(heatmap)
        measures["energy_inside"] = energy_inside(heatmap, mask)
        measures["pointing"] = pointing(heatmap, mask)
    return measures


def magnitude(values: Float[Tensor, "c h w"]) -> Float[Tensor, "h w"]:
    """The sum of magnitudes over channels, by which COUT ranks pixels."""
    return values.abs().sum(0)


def rank_correlation(one: Float[Tensor, "h w"], other: Float[Tensor, "h w"]) -> float:
    """Spearman's correlation of the magnitudes of two maps over pixels, in [-1, 1]; 0 if one of them is constant.

    Changes and maps both follow the edges of the image, so a correlation with the change is no evidence of what the
    model has learned: maps of a network with shuffled weights can reach the same value. Swapped pixels tell more.

    Example:
        >>> rank_correlation(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[-2.0, 4.0, 8.0]]))
        1.0

    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, also compare magnitudes.
    """
    correlation = spearman(*(heatmap.abs().flatten().cpu().numpy() for heatmap in (one, other)))
    return 0.0 if math.isnan(correlation) else round(correlation, 9)


def top_overlap(one: Float[Tensor, "h w"], other: Float[Tensor, "h w"], share: float = 0.1) -> float:
    """Intersection over union of the top pixels of two maps; two random maps reach share / (2 - share).

    Pixels that are 0 are never among the top, and a map of zeros has no overlap.

    Example:
        >>> top_overlap(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[4.0, 3.0, 2.0, 1.0]]), share=0.75)
        0.5
    """
    count = max(1, round(share * one.numel()))
    a, b = ((pixel_rank(heatmap) < count) & (heatmap != 0) for heatmap in (one, other))
    return float((a & b).sum()) / max(1.0, float((a | b).sum()))


def energy_inside(heatmap: Float[Tensor, "h w"], mask: Float[Tensor, "h w"]) -> float:
    """Share of the map's squared magnitude on the mask, as the metric `inside_lesion` of the change."""
    largest = heatmap.abs().max()
    energy = (heatmap / torch.where(largest > 0, largest, 1)).square()
    return float((energy * mask).sum() / energy.sum().clamp_min(1e-12))


def pointing(heatmap: Float[Tensor, "h w"], mask: Float[Tensor, "h w"]) -> float:
    """The pointing game: 1 if the highest pixel of the map is on the mask, else 0; chance is the mask's area.

    Source: Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016.
    """
    return float(bool(heatmap.any()) and bool(mask[pixel_rank(heatmap) == 0] > 0.5))


def edges(images: Images, window: int = 5) -> Float[Tensor, "n h w"]:
    """Magnitude of the gradient of the mean over channels, averaged over squares of `window` pixels.

    Example:
        >>> step = torch.zeros(1, 3, 9, 9)
        >>> step[..., 5:] = 1.0
        >>> [round(v, 2) for v in edges(step)[0, 4].tolist()]
        [0.0, 0.0, 0.1, 0.2, 0.2, 0.2, 0.2, 0.1, 0.0]

    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, compare maps with an edge detector.
    """
    steep = torch.stack(torch.gradient(images.detach().float().cpu().mean(1), dim=(1, 2))).norm(dim=0)
    return F.avg_pool2d(steep[:, None], window, stride=1, padding=window // 2)[:, 0]
