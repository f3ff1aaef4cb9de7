"""How far is the counterfactual from the query, in the picture and for the classifier?"""

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.explanation.metrics import metric
from cfexplain.images import precise
from cfexplain.search.edit import Edit

VISIBLE = 0.05  # A pixel counts as changed when one of its channels moves by more than this (intensity in [0, 1]).


@metric(better="lower", unit="intensity")
def mean_change(edit: Edit) -> Float[Tensor, " n"]:
    """L1: mean |painted - anchor| over channels and pixels."""
    return change(edit).abs().flatten(1).mean(1)


@metric(better="lower", unit="intensity")
def root_mean_square_change(edit: Edit) -> Float[Tensor, " n"]:
    """L2 by the root of the number of values: sqrt(mean (painted - anchor)^2)."""
    return change(edit).square().flatten(1).mean(1).sqrt()


@metric(better="lower", unit="intensity")
def largest_change(edit: Edit) -> Float[Tensor, " n"]:
    """Linf: max |painted - anchor|."""
    return change(edit).abs().flatten(1).amax(1)


@metric(better="lower", unit="share of pixels")
def changed_share(edit: Edit) -> Float[Tensor, " n"]:
    """Sparsity: share of pixels in which a channel changes by more than `VISIBLE`."""
    return (change(edit).abs().amax(1) > VISIBLE).flatten(1).float().mean(1)


@metric(better="lower", unit="intensity")
def distance_to_query(edit: Edit) -> Float[Tensor, " n"]:
    """L1: mean |shown image - query|, everything that differs included."""
    return (edit.image - edit.query).abs().flatten(1).mean(1)


@metric(better="higher", unit="dB")
def anchor_psnr(edit: Edit) -> Float[Tensor, " n"]:
    """How well the generator painted the query: 10 log10(1 / mean (anchor - query)^2), at most 99."""
    error = (edit.anchor - edit.query).square().flatten(1).mean(1)
    return (-10 * torch.log10(error.clamp_min(1e-12))).clamp_max(99)


def change(edit: Edit) -> Float[Tensor, "n 3 h w"]:
    """What the edit did: painted - anchor, so that the generator's reconstruction error is left out."""
    return precise(edit.painted - edit.anchor)


@metric(better="higher", unit="share")
def flipped(edit: Edit) -> Float[Tensor, " n"]:
    """1 where the shown image is predicted as the target."""
    return (edit.after.logits.argmax(1) == edit.target).float()


@metric(better="higher", unit="probability")
def target_gain(edit: Edit) -> Float[Tensor, " n"]:
    """Probability of the target in the shown image less that in the query."""
    index = edit.target[:, None]
    return (edit.after.probabilities.gather(1, index) - edit.before.probabilities.gather(1, index)).squeeze(1)


@metric(better="lower", unit="standard deviations")
def estimated_loss_change(edit: Edit) -> Float[Tensor, " n"] | None:
    """Estimated loss of the shown image less that of the query."""
    if edit.after.loss is None or edit.before.loss is None:
        return None
    return edit.after.loss - edit.before.loss
