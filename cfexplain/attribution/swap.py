"""Swapping pixels between query and counterfactual in the order of a map: how much of its top changes the mind?"""

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

STEPS = 25
"""Of a curve; each step swaps the same number of pixels."""
PARTS = 8
"""Of the step in which the model changes its mind: shares are found to 1 / (25 * 8) of the picture."""


@dataclass(frozen=True, eq=False)
class Swap:
    """What the classifier says while pixels are swapped, the highest of a map first; k + 1 points from 0 to all.

    Deletion begins at the query and brings in the counterfactual; insertion begins at the counterfactual and brings
    back the query. Both ends are images that the classifier knows, so that no black square decides the result.

    Attributes:
        shares: of the pixels swapped, from 0 to 1.
        deletion: probabilities of (source, target) on the way from query to counterfactual, shape (k + 1, 2).
        insertion: the same on the way back.
        flipped: where the deletion's image is predicted as the target.
        held: where the insertion's image still is.
        sufficiency: the smallest share of the map's top that flips the query to the target; lower is better, missing
            where none does. Found on the curve, then to an eighth of a step.
        necessity: the smallest share whose return to the query undoes the counterfactual, likewise.
    """

    shares: Float[Tensor, " points"]
    deletion: Float[Tensor, "points 2"]
    insertion: Float[Tensor, "points 2"]
    flipped: Bool[Tensor, " points"]
    held: Bool[Tensor, " points"]
    sufficiency: float
    necessity: float

    def measures(self) -> dict[str, float]:
        """Areas under the curves by the trapezoid rule, and the shares at which the model changes its mind.

        `deletion` and `insertion` are areas under the source's probability; `cout` that under the target's less the
        source's on the way of deletion.
        """
        width = 1 / (len(self.shares) - 1)
        return {
            "deletion": float(torch.trapezoid(self.deletion[:, 0], dx=width)),
            "insertion": float(torch.trapezoid(self.insertion[:, 0], dx=width)),
            "cout": float(torch.trapezoid(self.deletion[:, 1] - self.deletion[:, 0], dx=width)),
            "sufficiency": self.sufficiency,
            "necessity": self.necessity,
        }

    def to_dict(self) -> dict[str, list[float]]:
        """The curves as plain numbers for JSON."""
        return {
            "share": _plain(self.shares),
            "deletion_source": _plain(self.deletion[:, 0]),
            "deletion_target": _plain(self.deletion[:, 1]),
            "insertion_source": _plain(self.insertion[:, 0]),
            "insertion_target": _plain(self.insertion[:, 1]),
        }


def swap(
    classifier: Classifier,
    counterfactual: Edit,
    heatmap: Float[Tensor, "h w"],
    *,
    steps: int = STEPS,
    batch: int = 16,
) -> Swap:
    """Ask the classifier about every share of a map's top, swapped one way and the other.

    Args:
        classifier: the explained one, in evaluation mode.
        counterfactual: of one image; the image that is shown is swapped in.
        heatmap: its largest magnitudes are swapped first, equal ones row by row.
        steps: of each curve.
        batch: images in one pass at most.

    Raises:
        ValueError: there is no step, or several counterfactuals.

    Source: deletion and insertion of RISE (Petsiuk et al. 2018) with the counterfactual as the baseline, and the
    areas of COUT (Khorram and Fuxin, CVPR 2022) in the order of any map; sufficiency and necessity are ours.
    """
    if len(counterfactual) != 1 or steps < 1:
        raise ValueError(f"swap one counterfactual in at least 1 step, got {len(counterfactual)} in {steps}")
    query, shown = counterfactual.query, counterfactual.image
    rank, pixels = places(heatmap.to(query.device)), heatmap.numel()
    wanted = torch.stack([counterfactual.source, counterfactual.target], dim=1)
    counts = [k * pixels // steps for k in range(steps + 1)]

    def asked(start: Images, end: Images, swapped: Sequence[int]) -> tuple[Tensor, Tensor]:
        return _asked(classifier, start, end, torch.stack([rank < count for count in swapped])[:, None], wanted, batch)

    there, flipped = asked(query, shown, counts)
    back, held = asked(shown, query, counts)
    enough = _crossing(flipped, counts, lambda finer: asked(query, shown, finer)[1])
    needed = _crossing(~held, counts, lambda finer: ~asked(shown, query, finer)[1])
    return Swap(torch.linspace(0, 1, steps + 1), there, back, flipped, held, enough / pixels, needed / pixels)


def _crossing(reached: Tensor, counts: Sequence[int], ask: Callable[[Sequence[int]], Tensor]) -> float:
    """The first count that is reached, looked for again between it and the one before; missing where none is."""
    if not bool(reached.any()):
        return math.nan
    first = int(reached.float().argmax())
    low, high = counts[max(0, first - 1)], counts[first]
    finer = sorted({low + (high - low) * part // PARTS for part in range(1, PARTS + 1)})
    return float(finer[int(ask(finer).float().argmax())])


def places(heatmap: Float[Tensor, "h w"]) -> Int[Tensor, "h w"]:
    """Place of each pixel in the descending order of magnitude, equal ones row by row.

    Example:
        >>> places(torch.tensor([[1.0, -3.0], [2.0, 0.0]]))
        tensor([[2, 0],
                [1, 3]])
    """
    order = heatmap.abs().flatten().argsort(descending=True, stable=True)
    return order.argsort().view_as(heatmap)


def _asked(
    classifier: Classifier, start: Images, end: Images, tops: Tensor, wanted: Int[Tensor, "1 2"], batch: int
) -> tuple[Float[Tensor, "points 2"], Bool[Tensor, " points"]]:
    """Probabilities of source and target, and whether the target is the prediction, with each top swapped in."""
    said = [predict(classifier, torch.where(top, end, start)) for top in tops.split(batch)]
    probabilities = torch.cat([one.probabilities for one in said])
    return probabilities[:, wanted[0]].cpu(), (probabilities.argmax(1) == wanted[0, 1]).cpu()


def _plain(values: Tensor) -> list[float]:
    return [round(float(v), 6) for v in values]
