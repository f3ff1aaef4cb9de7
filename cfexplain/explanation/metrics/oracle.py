"""Does a classifier that took no part in the search see the target class too?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfexplain.classifier.checks import check_classifier, dtype_of_weights, predict
from cfexplain.images import precise, resize
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier, Images, Prediction


@dataclass(frozen=True, eq=False)
class OracleAgreement:
    """What an oracle predicts for a batch of edits.

    Attributes:
        counted: it knows both classes, and predicts the source for the query, so that its prediction can flip.
        flipped: it gives the shown image the target class; False where it does not know the target.
        gain: its probability of the target in the shown image less that in the query; NaN where it does not know it.
    """

    counted: Bool[Tensor, " n"]
    flipped: Bool[Tensor, " n"]
    gain: Float[Tensor, " n"]


def ask_oracle(edit: Edit, oracle: Classifier, *, classes: Sequence[str] | None = None) -> OracleAgreement:
    """Ask an independent classifier about the query and the shown image.

    The flip rate of an oracle is the mean of `flipped` over `counted`. Classes are matched by name, and images are
    resized to the oracle's size.

    Args:
        edit: n images.
        oracle: best of another architecture and other training data.
        classes: names in the order of the explained classifier's logits; by default the edit's own.

    Raises:
        ValueError: the names are not as many as the logits; the oracle cannot be used, see `check_classifier`.

    Source: the oracle score of Hvilshøj et al. 2021; that only queries count of which the oracle saw the source is
    ours: the others may be "flipped" without any change.

    Example:
        >>> answer = ask_oracle(result, oracle)  # doctest: +SKIP
        >>> answer.flipped[answer.counted].float().mean()  # doctest: +SKIP
        tensor(0.8500)
    """
    check_classifier(oracle)
    places = _places(edit, oracle, classes).to(edit.target.device)
    source, target = places[edit.before.logits.argmax(1)], places[edit.target]
    before, after = _asked(oracle, edit.query), _asked(oracle, edit.image)
    gain = _probability(after, target) - _probability(before, target)
    return OracleAgreement(
        counted=(target >= 0) & (before.logits.argmax(1) == source),
        flipped=after.logits.argmax(1) == target,
        gain=gain.masked_fill(target < 0, float("nan")),
    )


def _places(edit: Edit, oracle: Classifier, classes: Sequence[str] | None) -> Int[Tensor, " k"]:
    """The oracle's index of each class of the explained classifier; -1 where it has none of that name."""
    names = edit.classes if classes is None else classes
    if len(names) != edit.before.logits.shape[1]:
        raise ValueError(f"there are {len(names)} class names but {edit.before.logits.shape[1]} logits")
    theirs = list(oracle.classes)
    return torch.tensor([theirs.index(name) if name in theirs else -1 for name in names])


def _asked(oracle: Classifier, images: Images) -> Prediction:
    resized = resize(precise(images), oracle.image_size).clamp(0, 1)
    return predict(oracle, resized.to(dtype_of_weights(oracle)))


def _probability(prediction: Prediction, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    return prediction.probabilities.gather(1, index.clamp_min(0)[:, None]).squeeze(1)
