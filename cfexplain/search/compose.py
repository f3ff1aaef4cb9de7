"""From edits to the images that are shown: which iterate, with or without residual transfer, in eight bits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from cfexplain.engine.device import predict_each
from cfexplain.images import round8
from cfexplain.method.stage import Method
from cfexplain.search.descend import Solution
from cfexplain.types import Images, Problem, join_predictions


def final_iterates(problem: Problem, method: Method, anchor: Images, edits: Sequence[Solution]) -> Images:
    """The mean of the last iterates, where there is one, unless only the best single iterate flips."""
    mean = torch.cat([edit.image for edit in edits])
    if all(edit.best is None for edit in edits):
        return mean
    best = torch.cat([edit.image if edit.best is None else edit.best for edit in edits])
    flipped = flips(problem, compose(problem, method, anchor, mean))
    if bool(flipped.all()):
        return mean
    only_best = ~flipped & flips(problem, compose(problem, method, anchor, best))
    return torch.where(only_best.view(-1, 1, 1, 1), best, mean)


def compose(problem: Problem, method: Method, anchor: Images, edited: Images) -> Images:
    """The images that people see, in eight bits; see `Method.transfer`."""
    output = round8(edited)
    if method.transfer == "never":
        return output
    transferred = round8(problem.query + (edited - anchor))
    if method.transfer == "during":
        return transferred
    only_output = flips(problem, output) & ~flips(problem, transferred)
    return torch.where(only_output.view(-1, 1, 1, 1), output, transferred)


def flips(problem: Problem, images: Images) -> Bool[Tensor, " n"]:
    """Which images the classifier predicts as their target."""
    logits = join_predictions(predict_each(problem.classifier, images, defined=False)).logits  # type: ignore[arg-type]
    return logits.argmax(1).eq(problem.target) & logits.isfinite().all(1)  # type: ignore[arg-type]
