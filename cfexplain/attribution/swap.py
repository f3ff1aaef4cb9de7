"""Swapping pixels between query and counterfactual in the order of a map: how much of its top flips the prediction?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfexplain.classifier.checks import predict
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier, Images

# Steps of a curve, each of which swaps the same number of pixels, and parts of the step in which the prediction flips:
# shares are found to 1 / (25 * 8) of the image.
STEPS, PARTS = 25, 8
# Images in one forward pass.
BATCH = 16


@dataclass(frozen=True, eq=False)
class Swap:
    """Predictions while pixels are swapped, those with the map's highest magnitude first; k + 1 points from 0 to all.

    Deletion starts at the query and inserts the counterfactual's pixels; insertion starts at the counterfactual and
    puts back the query's. Both ends look like training images, so no black square decides the result.

    Attributes:
        deletion: probabilities of (source, target) from query to counterfactual.
        insertion: the same from counterfactual to query.
        sufficiency: the smallest share of the map's top that flips the query to the target, lower is better; NaN if
            there is none. Found on the curve, then within an eighth of a step.
        necessity: the smallest share whose return to the query undoes the counterfactual, found likewise.
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

        `deletion` and `insertion` are areas under the source's probability. `cout` is the area under the target's
        minus the source's probability during deletion, in [-1, 1], higher is better. It rewards large edits (if the
        whole image is replaced, few pixels suffice): read it beside the metric `changed_share`.

        Source: deletion and insertion of RISE (Petsiuk et al. 2018) with the counterfactual as the baseline. COUT:
        Khorram and Fuxin, "Cycle-Consistent Counterfactuals by Latent Transformations", CVPR 2022, where the map is
        the change itself; they swap P // steps of P pixels a step and overshoot 1 if that leaves a rest, we divide P
        evenly. Sufficiency and necessity are ours.
        """
        curves = {
            "deletion": self.deletion[:, 0],
            "insertion": self.insertion[:, 0],
            "cout": self.deletion[:, 1] - self.deletion[:, 0],
        }
        areas = {name: float(torch.trapezoid(curve, dx=1 / (len(curve) - 1))) for name, curve in curves.items()}
        return areas | {"sufficiency": self.sufficiency, "necessity": self.necessity}


def swap(classifier: Classifier, edit: Edit, heatmap: Float[Tensor, "h w"], *, steps: int = STEPS) -> Swap:
    """Predict the images between query and counterfactual for every share of a map's top, in both directions.

    Args:
        classifier: the explained one, in evaluation mode.
        edit: one counterfactual.
        heatmap: pixels are swapped in the descending order of its magnitude, equal ones row by row; at step k of n
            the first k P // n of P.
        steps: of each curve.

    Raises:
        ValueError: there is no step, or several counterfactuals.
    """
    if len(edit.query) != 1 or steps < 1:
        raise ValueError(f"swap one counterfactual in at least 1 step, got {len(edit.query)} in {steps}")
    pixels, classes, rank = (
        heatmap.numel(),
        [int(edit.source), int(edit.target)],
        pixel_rank(heatmap.to(edit.query.device)),
    )
    counts = [k * pixels // steps for k in range(steps + 1)]

    def curve(start: Images, end: Images, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Probabilities of the two classes, and whether the target is predicted, for each count of swapped pixels."""
        tops = torch.stack([rank < count for count in counts])[:, None].split(BATCH)
        predictions = [predict(classifier, torch.where(top, end, start)) for top in tops]
        probabilities = torch.cat([prediction.probabilities for prediction in predictions]).cpu()
        return probabilities[:, classes], probabilities.argmax(1) == classes[1]

    deletion, flipped = curve(edit.query, edit.image, counts)
    insertion, held = curve(edit.image, edit.query, counts)
    sufficient = _first(flipped, counts, lambda finer: curve(edit.query, edit.image, finer)[1])
    necessary = _first(~held, counts, lambda finer: ~curve(edit.image, edit.query, finer)[1])
    return Swap(deletion, insertion, sufficient / pixels, necessary / pixels)


def pixel_rank(heatmap: Float[Tensor, "h w"]) -> Int[Tensor, "h w"]:
    """Rank of each pixel in the descending order of magnitude, equal ones row by row.

    Example:
        >>> pixel_rank(torch.tensor([[1.0, -3.0], [2.0, 0.0]]))
        tensor([[2, 0],
                [1, 3]])
    """
    order = heatmap.abs().flatten().argsort(descending=True, stable=True)
    return order.argsort().view_as(heatmap)


def _first(
    reached: Bool[Tensor, " points"], counts: Sequence[int], reached_at: Callable[[Sequence[int]], Tensor]
) -> float:
    """The first count that is reached, refined between it and the one before; NaN if there is none."""
    if not bool(reached.any()):
        return math.nan
    first = int(reached.float().argmax())
    low, high = counts[max(0, first - 1)], counts[first]
    finer = sorted({low + (high - low) * part // PARTS for part in range(1, PARTS + 1)})
    return float(finer[int(reached_at(finer).float().argmax())])
