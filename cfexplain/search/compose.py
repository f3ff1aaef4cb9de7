"""What is shown of edits: which painting, with or without what the painter left out, in eight bits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from cfexplain.classifier.checks import predict
from cfexplain.images import round8
from cfexplain.method.stage import Method
from cfexplain.search.descend import Solution
from cfexplain.types import Classifier, Images, Prediction, Problem

VERIFIED = 32
"""Images of a batch that are shrunken and verified at once: the classifier sees each in 16 views."""


def reached(problem: Problem, method: Method, anchor: Images, edits: Sequence[Solution]) -> Images:
    """The mean of the last paintings, where there is one, unless only the best single painting flips."""
    mean = torch.cat([edit.image for edit in edits])
    if all(edit.best is None for edit in edits):
        return mean
    best = torch.cat([edit.image if edit.best is None else edit.best for edit in edits])
    flipped = flips(problem, shown(problem, method, anchor, mean))
    if bool(flipped.all()):
        return mean
    only_best = ~flipped & flips(problem, shown(problem, method, anchor, best))
    return torch.where(only_best.view(-1, 1, 1, 1), best, mean)


def shown(problem: Problem, method: Method, anchor: Images, edited: Images) -> Images:
    """The images for people, in eight bits; see `Method.transfer`."""
    painted = round8(edited)
    if method.transfer == "never":
        return painted
    transferred = round8(problem.query + (edited - anchor))
    if method.transfer == "during":
        return transferred
    rather = flips(problem, painted) & ~flips(problem, transferred)
    return torch.where(rather.view(-1, 1, 1, 1), painted, transferred)


def flips(problem: Problem, images: Images) -> Bool[Tensor, " n"]:
    """Which images the classifier takes for the target."""
    seen = predict_each(problem.classifier, images)  # type: ignore[arg-type]
    logits = torch.cat([p.logits for p in seen])
    return logits.argmax(1).eq(problem.target) & logits.isfinite().all(1)  # type: ignore[arg-type]


def predict_each(classifier: Classifier, images: Images, *, defined: bool = False) -> list[Prediction]:
    """The prediction of each image: one by one on a CPU, so that no image's depends on its neighbours by a rounding."""
    at_once = VERIFIED if images.is_cuda else 1
    some = [predict(classifier, part, defined=defined) for part in images.split(at_once)]
    return [p.at(slice(k, k + 1)) for p in some for k in range(len(p.logits))]
