"""Is the change one region, or crumbs all over the picture?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from cfexplain.explanation.metrics.distance import VISIBLE, change
from cfexplain.explanation.metrics.metric import metric
from cfexplain.search.edit import Edit


@metric(better="higher", unit="share of energy")
def largest_region_share(edit: Edit) -> Float[Tensor, " n"]:
    """Share of the whole squared change that lies in the one region of visible pixels that holds most of it.

    max over regions R of sum_R d^2 / sum d^2, d = painted - anchor; the regions are the 8-connected parts of the
    pixels in which a channel changes by more than `VISIBLE`. 0 where nothing changes visibly.
    """
    energies = _regions(edit)
    largest = change(edit).new_tensor([energy.max(initial=0) for energy in energies])
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
