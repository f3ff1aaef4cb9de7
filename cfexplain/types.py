"""Shared types: images, predictions, classifiers, problems, candidates, outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Image = Float[Tensor, "3 h w"]
"""One RGB image, values in [0, 1]."""

Images = Float[Tensor, "n 3 h w"]
"""A batch of RGB images, values in [0, 1]; normalisation happens inside the classifier."""

Mask = Float[Tensor, "1 h w"]  # 1 on the pixels that are meant, such as those of a lesion, else 0.
Which = slice | list[int]  # Some images of a batch.


@dataclass(frozen=True, eq=False)
class Prediction:
    """The output of a classifier for a batch.

    Attributes:
        logits: shape (n, k), already temperature-scaled where the classifier is calibrated.
        features: tapped activations, shallow to deep, each with leading size n.
        loss: estimated, shape (n,), standardised on validation data; None without a loss estimator.
    """

    logits: Float[Tensor, "n k"]
    features: tuple[Tensor, ...] = ()
    loss: Float[Tensor, " n"] | None = None

    @property
    def probabilities(self) -> Float[Tensor, "n k"]:
        """Softmax of the logits, in float32."""
        return self.logits.float().softmax(dim=1)

    def detach(self) -> Prediction:
        """The same prediction cut from the graph."""
        return self._each(Tensor.detach)

    def without_features(self) -> Prediction:
        """Logits and loss alone: the features of many images would take gigabytes."""
        return Prediction(self.logits, (), self.loss)

    def at(self, which: Which) -> Prediction:
        """The prediction of some of the images."""
        return self._each(lambda values: values[which])

    def _each(self, part: Callable[[Tensor], Tensor]) -> Prediction:
        loss = None if self.loss is None else part(self.loss)
        return Prediction(part(self.logits), tuple(map(part, self.features)), loss)


@runtime_checkable
class Classifier(Protocol):
    """What `explain` needs of a classifier: names, a size, and a prediction of RGB images in [0, 1]."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of the logits."""
        ...

    @property
    def image_size(self) -> int:
        """Pixels a side that it was trained at."""
        ...

    def __call__(self, images: Images, /) -> Prediction:
        """Predict a batch."""
        ...


class Status(str, Enum):
    """How a search ended; `advice` says what to try next."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    ALREADY_TARGET = "already_target"
    DIVERGED = "diverged"
    OUT_OF_BUDGET = "out_of_budget"

    @property
    def advice(self) -> str:
        """One sentence for the person who reads the result."""
        return _ADVICE[self]


_ADVICE = {
    Status.FOUND: "The shown image is predicted as the target class.",
    Status.NOT_FOUND: "The prediction did not change: allow more steps, or lower the weights that hold the image back.",
    Status.ALREADY_TARGET: "The query is already predicted as the target class: choose another target.",
    Status.DIVERGED: "The optimisation met infinite or undefined values: lower the learning rate, or use float32.",
    Status.OUT_OF_BUDGET: "The time was up before the prediction changed: raise the budget. This is the best so far.",
}


@dataclass(frozen=True, eq=False)
class Problem:
    """The task: change `query` inside `region` until `classifier` predicts `target`.

    Attributes:
        query: the images to explain, shape (n, 3, h, w).
        classifier: None for problems without one, such as restoration.
        source: the classifier's prediction of the query.
        target: class index wanted of each image, shape (n,).
        region: 1 where the image may change, 0 where it must not, shape (n, 1, h, w); None is everywhere.
    """

    query: Images
    classifier: Classifier | None = None
    source: Prediction | None = None
    target: Int[Tensor, " n"] | None = None
    region: Float[Tensor, "n 1 h w"] | None = None

    def at(self, which: Which) -> Problem:
        """The task for some of the images."""
        source = None if self.source is None else self.source.at(which)
        target, region = (None if part is None else part[which] for part in (self.target, self.region))
        return Problem(self.query[which], self.classifier, source, target, region)


@dataclass(frozen=True, eq=False)
class Candidate:
    """What a term can read at one step.

    Attributes:
        image: the image that the terms see, shape (n, 3, h, w).
        problem: the task.
        prediction: the classifier's prediction of `image`; None where no term needs one.
        anchor: the reconstruction that the edit starts from; None while it is being fitted.
        progress: share of the stage's steps done, in [0, 1]; from 1 to 2 in further ones (`Continuation`).
        views: the classifier's prediction of random views of `image`, shape (count * n, ...), view by view;
            None where the stage has no views.
    """

    image: Images
    problem: Problem
    prediction: Prediction | None = None
    anchor: Images | None = None
    progress: float = 0.0
    views: Prediction | None = None


def join_predictions(parts: Sequence[Prediction]) -> Prediction:
    """The predictions of single images or batches as that of one batch."""
    losses = [part.loss for part in parts if part.loss is not None]
    features = tuple(torch.cat(tap) for tap in zip(*(part.features for part in parts), strict=True))
    return Prediction(torch.cat([part.logits for part in parts]), features, torch.cat(losses) if losses else None)


def join_problems(problems: Sequence[Problem]) -> Problem:
    """The problems of single images, which share the classifier, as one; all have a region, or none has."""
    first = problems[0]
    if len(problems) == 1:
        return first
    sources = [p.source for p in problems if p.source is not None]
    targets = [p.target for p in problems if p.target is not None]
    regions = [p.region for p in problems if p.region is not None]
    if 0 < len(regions) < len(problems):
        raise ValueError("of a batch either all images have a region or none has")
    return Problem(
        torch.cat([p.query for p in problems]),
        first.classifier,
        join_predictions(sources) if sources else None,
        torch.cat(targets) if targets else None,
        torch.cat(regions) if regions else None,
    )


def mean_over_views(value: Tensor, views: Tensor | None) -> Tensor:
    """Mean over an image (value, shape (n,)) and its views (shape (count * n,)), each of equal weight."""
    if views is None:
        return value
    return torch.cat([value, views]).view(-1, len(value)).mean(0)
