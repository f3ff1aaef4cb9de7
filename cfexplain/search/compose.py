"""From edits to the images that are shown: which iterate, with or without residual transfer, in eight bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cfexplain.engine.device import predict_each
from cfexplain.images import round8
from cfexplain.method.stage import Method
from cfexplain.search.descend import Solution
from cfexplain.types import Images, Problem, join_predictions

KEPT = 0.9  # Share of a single search's probability that the mean of all must have.


def consensus(problem: Problem, method: Method, anchor: Images, searches: Sequence[Sequence[Solution]]) -> Images:
    """The mean of each image's searches; where the target is clearly less probable than after one of them, that one."""
    chosen = torch.cat([_mean([s.image for s in own]) for own in searches])
    singles = [[*(s.image for s in own), *(s.best for s in own if s.best is not None)] for own in searches]
    if max(map(len, singles)) == 1:
        return chosen
    reached = _probability(problem, compose(problem, method, anchor, chosen))
    best = torch.zeros_like(reached)
    for k in range(max(map(len, singles))):
        other = torch.cat([own[min(k, len(own) - 1)] for own in singles])
        probability = _probability(problem, compose(problem, method, anchor, other))
        better = (reached < KEPT * probability) & (probability > best)
        chosen, best = torch.where(better.view(-1, 1, 1, 1), other, chosen), torch.where(better, probability, best)
    return chosen


def spread(anchor: Images, searches: Sequence[Solution]) -> Float[Tensor, "1 1 h w"]:
    """Standard deviation of one image's change between its searches, over the channels too; NaN of a single one."""
    changes = torch.stack([s.image - anchor for s in searches])
    variance = (changes - changes.mean(0)).square().mean((0, 2))
    return (variance.sqrt() if len(searches) > 1 else variance * math.nan)[:, None]


def _mean(images: Sequence[Images]) -> Images:
    return images[0] if len(images) == 1 else torch.stack(list(images)).mean(0)


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
    return _probability(problem, images) > 0


def _probability(problem: Problem, images: Images) -> Float[Tensor, " n"]:
    """Of the target; 0 where the classifier predicts another class, or nothing that is finite."""
    seen = join_predictions(predict_each(problem.classifier, images, defined=False))  # type: ignore[arg-type]
    flipped = seen.logits.argmax(1).eq(problem.target) & seen.logits.isfinite().all(1)  # type: ignore[arg-type]
    return seen.probabilities.gather(1, problem.target[:, None])[:, 0].where(flipped, 0.0)  # type: ignore[index]
