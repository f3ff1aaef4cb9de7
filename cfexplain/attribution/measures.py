"""Measures of an attribution map: agreement with a counterfactual's change and with the lesion, and swapped pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cfexplain.classifier.checks import predict
from cfexplain.search.edit import Edit
from cfexplain.statistics import spearman
from cfexplain.types import Classifier, Images

MEASURES = {
    "rank_correlation": ("higher", "rank correlation"),
    "top_overlap": ("higher", "top tenths overlap"),
    "energy_inside": ("higher", "energy inside the lesion"),
    "pointing": ("higher", "pointing game"),
    "deletion": ("lower", "deletion, area"),
    "insertion": ("higher", "insertion, area"),
    "cout": ("higher", "COUT"),
    "sufficiency": ("lower", "share that suffices"),
    "necessity": ("lower", "share that is necessary"),
}
"""The better direction and the label of each measure, in the order of the columns."""

BETTER = {name: better for name, (better, _) in MEASURES.items()}
LABELS = {name: label for name, (_, label) in MEASURES.items()}

CHANGE, EDGES, RANDOM = "counterfactual change", "edges", "random"
REFERENCES = (CHANGE, EDGES, RANDOM)
"""Reference maps: the change agrees with itself, edges need no classifier, noise is chance.

Maps, changes and images have their edges in common: a method that is no better than the edges has shown nothing of
what the model has learned, however far above chance it is.
"""

# Steps of a curve, each of which swaps the same number of pixels, and parts of the step in which the prediction flips:
# shares are found to 1 / (25 * 8) of the image.
STEPS, PARTS = 25, 8
# Images in one forward pass.
BATCH = 16


def agreement(edit: Edit, heatmap: Float[Tensor, "h w"]) -> dict[str, float]:
    """Agreement of one map with the change and with the mask; NaN without a change, or without a mask."""
    change = magnitude(edit.difference[0]).to(heatmap.device)
    changed, mask = bool(change.any()), None if edit.mask is None else edit.mask[0, 0].to(heatmap)
    return {
        "rank_correlation": rank_correlation(heatmap, change) if changed else math.nan,
        "top_overlap": top_overlap(heatmap, change) if changed else math.nan,
        "energy_inside": math.nan if mask is None else energy_inside(heatmap, mask),
        "pointing": math.nan if mask is None else pointing(heatmap, mask),
    }


def magnitude(values: Float[Tensor, "c h w"]) -> Float[Tensor, "h w"]:
    """The sum of magnitudes over channels, by which COUT ranks pixels."""
    return values.abs().sum(0)


def rank_correlation(one: Float[Tensor, "h w"], other: Float[Tensor, "h w"]) -> float:
    """Spearman's correlation of the magnitudes of two maps over pixels, in [-1, 1]; 0 if one of them is constant.

    It is no evidence of what the model has learned: maps of a network with shuffled weights can reach the same value.

    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, also compare magnitudes.
    """
    correlation = spearman(one.abs().flatten().cpu(), other.abs().flatten().cpu())
    return 0.0 if math.isnan(correlation) else round(correlation, 9)


def top_overlap(one: Float[Tensor, "h w"], other: Float[Tensor, "h w"], share: float = 0.1) -> float:
    """Intersection over union of the top pixels that are not 0; two random maps reach share / (2 - share)."""
    count = max(1, round(share * one.numel()))
    a, b = ((pixel_rank(heatmap) < count) & (heatmap != 0) for heatmap in (one, other))
    return float((a & b).sum()) / max(1.0, float((a | b).sum()))


def energy_inside(heatmap: Float[Tensor, "h w"], mask: Float[Tensor, "h w"]) -> float:
    """Share of the map's squared magnitude on the mask, as the metric `inside_lesion` of the change."""
    largest = heatmap.abs().max()
    energy = (heatmap / torch.where(largest > 0, largest, 1)).square()
    return float((energy * mask).sum() / energy.sum().clamp_min(1e-12))


def pointing(heatmap: Float[Tensor, "h w"], mask: Float[Tensor, "h w"]) -> float:
    """1 if the highest pixel of the map is on the mask, else 0; chance is its area. Source: Zhang et al., ECCV 2016."""
    return float(bool(heatmap.any()) and bool(mask[pixel_rank(heatmap) == 0] > 0.5))


def edges(images: Images, window: int = 5) -> Float[Tensor, "n h w"]:
    """Magnitude of the gradient of the mean over channels, averaged over squares of `window` pixels.

    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, compare maps with an edge detector.
    """
    steep = torch.stack(torch.gradient(images.detach().float().cpu().mean(1), dim=(1, 2))).norm(dim=0)
    return nn.functional.avg_pool2d(steep[:, None], window, stride=1, padding=window // 2)[:, 0]


@dataclass(frozen=True, eq=False)
class Swap:
    """Predictions while pixels are swapped, those with the map's highest magnitude first; k + 1 points from 0 to all.

    Both ends look like training images, so no black square decides the result.

    Attributes:
        deletion: probabilities of (source, target) from query to counterfactual.
        insertion: the same from counterfactual to query.
        measures: `deletion` and `insertion`, areas under the source's probability by the trapezoid rule; `cout`, the
            area under the target's minus the source's during deletion, in [-1, 1], which rewards large edits (read it
            beside `changed_share`); `sufficiency`, the smallest share of the map's top that flips the query to the
            target, to an eighth of a step; `necessity`, that whose return to the query undoes the counterfactual. NaN
            if there is no such share.

    Source: deletion and insertion of RISE (Petsiuk et al. 2018) with the counterfactual as the baseline. COUT:
    Khorram and Fuxin, "Cycle-Consistent Counterfactuals by Latent Transformations", CVPR 2022, where the map is
    the change itself; their steps of P // steps pixels may leave a rest of the P pixels, ours divide P evenly.
    Sufficiency and necessity are ours.
    """

    deletion: Float[Tensor, "points 2"]
    insertion: Float[Tensor, "points 2"]
    measures: dict[str, float]

    @property
    def shares(self) -> Float[Tensor, " points"]:
        """Shares of the pixels that are swapped."""
        return torch.linspace(0, 1, len(self.deletion))


def swap(classifier: Classifier, edit: Edit, heatmap: Float[Tensor, "h w"], *, steps: int = STEPS) -> Swap:
    """Predict the images between a query and its counterfactual for every share of a map's top, in both directions.

    Step k of n swaps the first k P // n of the P pixels in the order of `pixel_rank`.

    Raises:
        ValueError: there is no step, or several counterfactuals.
    """
    if len(edit.query) != 1 or steps < 1:
        raise ValueError(f"swap one counterfactual in at least 1 step, got {len(edit.query)} in {steps}")
    pixels, classes, rank = heatmap.numel(), [int(edit.source), int(edit.target)], pixel_rank(heatmap)

    def predicted(start: Images, end: Images, counts: Sequence[int], to_target: bool) -> tuple[Tensor, list[bool]]:
        """Probabilities of the two classes and whether the prediction flips, for each count of swapped pixels."""
        tops = torch.stack([rank < count for count in counts])[:, None].to(start.device).split(BATCH)
        predictions = [predict(classifier, torch.where(top, end, start)) for top in tops]
        probabilities = torch.cat([prediction.probabilities for prediction in predictions]).cpu()
        return probabilities[:, classes], ((probabilities.argmax(1) == classes[1]) == to_target).tolist()

    def curve(start: Images, end: Images, to_target: bool) -> tuple[Tensor, float]:
        """The probabilities at each step, and the smallest share that flips the prediction to or from the target."""
        counts = [k * pixels // steps for k in range(steps + 1)]
        probabilities, flipped = predicted(start, end, counts, to_target)
        if True not in flipped:
            return probabilities, math.nan
        first = flipped.index(True)
        low, high = counts[max(0, first - 1)], counts[first]
        finer = [low + (high - low) * part // PARTS for part in range(1, PARTS)]
        _, flipped = predicted(start, end, finer, to_target)
        return probabilities, next((k for k, flips in zip(finer, flipped, strict=True) if flips), high) / pixels

    deletion, sufficiency = curve(edit.query, edit.image, True)
    insertion, necessity = curve(edit.image, edit.query, False)
    source, target = deletion.unbind(1)
    curves = {"deletion": source, "insertion": insertion[:, 0], "cout": target - source}
    areas = {name: float(torch.trapezoid(values, dx=1 / steps)) for name, values in curves.items()}
    return Swap(deletion, insertion, areas | {"sufficiency": sufficiency, "necessity": necessity})


def pixel_rank(heatmap: Float[Tensor, "h w"]) -> Int[Tensor, "h w"]:
    """Rank of each pixel in the descending order of magnitude, equal ones row by row."""
    return heatmap.abs().flatten().argsort(descending=True, stable=True).argsort().view_as(heatmap)
