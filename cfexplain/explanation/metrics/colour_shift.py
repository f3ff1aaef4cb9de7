"""Is the change a lesion's, or one tint laid over the whole picture?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cfexplain.explanation.metrics.distance import change
from cfexplain.explanation.metrics.metric import metric
from cfexplain.search.edit import Edit


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
    share: Tensor = ((energy - left) / energy.clamp_min(1e-12)).clamp_min(0)
    return share
