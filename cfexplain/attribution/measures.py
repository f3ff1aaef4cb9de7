"""Measures of an attribution map: agreement with a counterfactual's change and with the lesion, and swapped pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

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

    Example:
        >>> rank_correlation(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[-2.0, 4.0, 8.0]]))
        1.0

    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, also compare magnitudes.
    """
    correlation = spearman(one.abs().flatten().cpu(), other.abs().flatten().cpu())
    return 0.0 if math.isnan(correlation) else round(correlation, 9)


def top_overlap(one: Float[Tensor, "h w"], other: Float[Tensor, "h w"], share: float = 0.1) -> float:
    """Intersection over union of the top pixels of two maps; two random maps reach share / (2 - share).

    Pixels that are 0 are never among the top.

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


@dataclass(frozen=True, eq=False)
class Swap:
    """Predictions while pixels are swapped, those with the map's highest magnitude first; k + 1 points from 0 to all.

    Both ends look like training images, so no black square decides the result.

    Attributes:
        deletion: probabilities of (source, target) from query to counterfactual.
        insertion: the same from counterfactual to query.
        sufficiency: the smallest share of the map's top that flips the query to the target, to an eighth of a step;
            NaN if there is none.
        necessity: the smallest share whose return to the query undoes the counterfactual, likewise.
    """

    deletion: Float[Tensor, "points 2"]
    insertion: Float[Tensor, "points 2"]
    sufficiency: float
    necessity: float

    @property
    def shares(self) -> Float[Tensor, " points"]:
        """Shares of the pixels that are swapped."""
        return torch.linspace(0, 1, len(self.deletion))

    def measures(self) -> dict[str, float]:
        """Areas under the curves by the trapezoid rule, and the shares at which the prediction flips.

        `deletion` and `insertion` are areas under the source's probability; `cout` is the area under the target's
        minus the source's during deletion, in [-1, 1]. It rewards large edits: read it beside `changed_share`.

        Source: deletion and insertion of RISE (Petsiuk et al. 2018) with the counterfactual as the baseline. COUT:
        Khorram and Fuxin, "Cycle-Consistent Counterfactuals by Latent Transformations", CVPR 2022, where the map is
        the change itself; their steps of P // steps pixels may leave a rest of the P pixels, ours divide P evenly.
        Sufficiency and necessity are ours.
        """
        source, target = self.deletion.unbind(1)
        curves = {"deletion": source, "insertion": self.insertion[:, 0], "cout": target - source}
        areas = {name: float(torch.trapezoid(curve, dx=1 / (len(curve) - 1))) for name, curve in curves.items()}
        return areas | {"sufficiency": self.sufficiency, "necessity": self.necessity}


def swap(classifier: Classifier, edit: Edit, heatmap: Float[Tensor, "h w"], *, steps: int = STEPS) -> Swap:
    """Predict the images between query and counterfactual for every share of a map's top, in both directions.

    Args:
        classifier: the explained one, in evaluation mode.
        edit: one counterfactual.
        heatmap: step k of n swaps the first k P // n of the P pixels in the order of `pixel_rank`.
        steps: of each curve.

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
    return Swap(deletion, insertion, sufficiency, necessity)


def pixel_rank(heatmap: Float[Tensor, "h w"]) -> Int[Tensor, "h w"]:
    """Rank of each pixel in the descending order of magnitude, equal ones row by row."""
    order = heatmap.abs().flatten().argsort(descending=True, stable=True)
    return order.argsort().view_as(heatmap)
