"""Would another seed, or another of the method's searches, have told the same story?"""

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cfexplain.explanation.metrics import metric
from cfexplain.explanation.metrics.distance import change
from cfexplain.search.edit import Edit
from cfexplain.types import Images

DECILE = 0.1  # Share of an image's pixels that counts as its strongest change.
SMOOTHING = 5  # Side, in pixels, of the square over which the noise floor is averaged.


@metric(better="higher", unit="share of energy")
def search_agreement(edit: Edit) -> Float[Tensor, " n"] | None:
    """How far the changes d_k of the method's searches agree: |mean_k d_k|^2 / mean_k |d_k|^2; missing of a single one.

    1 where they are equal, 1/2 for two unrelated changes of one size, 0 for opposite ones.

    Source: ours.
    """
    if edit.spread is None:
        return None
    shared, apart = (x.square().flatten(1).mean(1) for x in (change(edit), edit.spread))
    return shared / (shared + apart).clamp_min(1e-12)


@torch.no_grad()
def seed_agreement(edits: Sequence[Edit]) -> Float[Tensor, " n"]:
    """Mean over pairs of seeds of the intersection over union of their strongest tenths of changed pixels.

    The edits are of the same n images, one a seed, at least two. 1 is the same pixels under every seed; two tenths
    drawn at random share 0.05; a seed that changes nothing shares nothing.

    Source: ours; strength is the sum over channels of |painted - anchor|.
    """
    strongest = _strongest(edits).flatten(2)
    shared = [(a & b).sum(1) / (a | b).sum(1).clamp_min(1) for a, b in combinations(strongest, 2)]
    return torch.stack(shared).mean(0)


@torch.no_grad()
def agreement_map(edits: Sequence[Edit]) -> Float[Tensor, "n 1 h w"]:
    """Share of the seeds in whose strongest tenth of changed pixels a pixel is; see `seed_agreement`."""
    return _strongest(edits).float().mean(0)


@torch.no_grad()
def noise_floor(anchors: Sequence[Images]) -> Float[Tensor, "n 1 h w"]:
    """How much two paintings of the same image differ without any edit: a change below this is no finding.

    Mean over pairs of anchors, one a seed, and over channels of |anchor_i - anchor_j| (intensity), averaged over
    squares of `SMOOTHING` pixels, of which those at the border hold fewer.

    Source: ours.
    """
    mean = torch.stack([(a - b).abs().mean(1, keepdim=True) for a, b in combinations(anchors, 2)]).mean(0)
    return torch.nn.functional.avg_pool2d(mean, SMOOTHING, stride=1, padding=SMOOTHING // 2, count_include_pad=False)


def _strongest(edits: Sequence[Edit]) -> Bool[Tensor, "seeds n 1 h w"]:
    """Whether a pixel is among the strongest tenth of its image; of equals, the first by rows; never unchanged."""
    strength = torch.stack([change(edit).abs().sum(1, keepdim=True) for edit in edits])
    pixels = strength.flatten(2)
    rank = pixels.argsort(dim=2, descending=True, stable=True).argsort(dim=2)
    return ((rank < math.ceil(DECILE * pixels.shape[2])) & (pixels > 0)).view_as(strength)
