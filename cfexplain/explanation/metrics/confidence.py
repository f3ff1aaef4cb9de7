"""How far has the classifier's mind moved?"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cfexplain.explanation.metrics.metric import metric
from cfexplain.search.edit import Edit


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
