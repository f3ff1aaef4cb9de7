"""Where is the change: on the lesion, in one region or in crumbs, a tint over everything, or fine noise?"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.explanation.metrics import metric
from cfexplain.explanation.metrics.distance import VISIBLE, change
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
    """`inside_lesion` / (share of the picture that is lesion); missing without a mask.

    1 is a change that takes no notice of the lesion; 0 where the mask is empty or nothing changes.
    """
    share = inside_lesion(edit)
    if share is None or edit.mask is None:
        return None
    return share / edit.mask.flatten(1).mean(1).clamp_min(1e-12)


@metric(better="lower", unit="share of energy")
def high_frequency_share(edit: Edit) -> Float[Tensor, " n"]:
    """Share of the squared change at frequencies beyond half of Nyquist's, |f| > N/4."""
    power = torch.fft.fft2(change(edit).float()).abs().square().sum(1)
    rows, columns = (torch.fft.fftfreq(side, device=power.device) * 2 for side in power.shape[-2:])
    fine = (rows[:, None].square() + columns.square()).sqrt() > 0.5
    share: Tensor = (power * fine).flatten(1).sum(1) / power.flatten(1).sum(1).clamp_min(1e-12)
    return share


@metric(better="lower", unit="share of energy")
def colour_shift(edit: Edit) -> Float[Tensor, " n"]:
    """Share of the squared change that one uniform shift of colour explains: 0 a local change, 1 a tint.

    max(0, 1 - sum (d - v)^2 / sum d^2), d = painted - anchor, v one colour a picture: in each channel the value
    nearest to zero between the quartiles of d. 0 where nothing changes. A gain (white balance) counts as far as
    it moves all pixels alike.

    Source: ours. The quartiles stand in for the median, which takes the change of a lesion that fills more than
    half of the picture for a tint: by them, a change must be shared by three pixels of four.
    """
    pixels = change(edit).flatten(2)
    ordered, quarter = pixels.sort(dim=2).values, pixels.shape[2] // 4
    tint = ordered[..., [quarter]].clamp_min(0) + ordered[..., [-1 - quarter]].clamp_max(0)
    energy = pixels.square().flatten(1).sum(1)
    left = (pixels - tint).square().flatten(1).sum(1)
    return ((energy - left) / energy.clamp_min(1e-12)).clamp_min(0)


@metric(better="higher", unit="share of energy")
def largest_region_share(edit: Edit) -> Float[Tensor, " n"]:
    """Share of the squared change in the one 8-connected region of visibly changed pixels that holds most of it.

    max over regions R of sum_R d^2 / sum d^2, d = painted - anchor; 0 where no channel changes by more than `VISIBLE`.
    """
    largest = change(edit).new_tensor([energy.max(initial=0) for energy in _regions(edit)])
    return largest / change(edit).square().flatten(1).sum(1).clamp_min(1e-12)


@metric(better="lower", unit="regions")
def changed_regions(edit: Edit) -> Float[Tensor, " n"]:
    """Number of 8-connected regions of pixels in which a channel changes by more than `VISIBLE`."""
    return change(edit).new_tensor([float(len(energy)) for energy in _regions(edit)])


def _regions(edit: Edit) -> list[np.ndarray]:
    """The squared change in each region, one array an image."""
    from scipy import ndimage

    found = []
    for one in change(edit).detach().cpu().float().numpy():
        labels, count = ndimage.label(np.abs(one).max(0) > VISIBLE, structure=np.ones((3, 3)))
        found.append(np.bincount(labels.ravel(), np.square(one).sum(0).ravel(), count + 1)[1:])
    return found
