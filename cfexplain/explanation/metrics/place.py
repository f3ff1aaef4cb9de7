"""Where is the change, and how coarse is it?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.explanation.metrics.distance import change
from cfexplain.explanation.metrics.metric import metric
from cfexplain.search.edit import Edit


@metric(better="higher", unit="share of energy")
def inside_lesion(edit: Edit) -> Float[Tensor, " n"] | None:
    """Share of the squared change that lies on the lesion's mask; missing without a mask."""
    if edit.mask is None:
        return None
    energy = change(edit).square().sum(1, keepdim=True)
    return (energy * edit.mask).flatten(1).sum(1) / energy.flatten(1).sum(1).clamp_min(1e-12)


@metric(better="higher", unit="times its area")
def area_lift(edit: Edit) -> Float[Tensor, " n"] | None:
    """How much denser the squared change is on the lesion than in the picture; missing without a mask.

    `inside_lesion` / (share of the picture that is lesion): 1 is a change that takes no notice of the lesion,
    however large the lesion is; 0 where the mask is empty or nothing changes.
    """
    share = inside_lesion(edit)
    if share is None or edit.mask is None:
        return None
    return share / edit.mask.flatten(1).mean(1).clamp_min(1e-12)


@metric(better="lower", unit="share of energy")
def high_frequency_share(edit: Edit) -> Float[Tensor, " n"]:
    """Share of the squared change at frequencies beyond half of Nyquist's, |f| > N/4."""
    power = torch.fft.fft2(change(edit).float()).abs().square().sum(1)
    height, width = power.shape[-2:]
    rows = torch.fft.fftfreq(height, device=power.device)[:, None] * 2
    columns = torch.fft.fftfreq(width, device=power.device)[None] * 2
    fine = (rows.square() + columns.square()).sqrt() > 0.5
    share: Tensor = (power * fine).flatten(1).sum(1) / power.flatten(1).sum(1).clamp_min(1e-12)
    return share
