"""The result of a search: images and predictions, as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain.types import Images, Prediction, Status, join_predictions


@dataclass(frozen=True, eq=False)
class Edit:
    """Counterfactuals of a batch of images, as tensors; `edit[i]` is one of them.

    Attributes:
        query: the images that were explained, shape (n, 3, h, w).
        anchor: the generator's reconstruction of them, from which the edit starts.
        painted: the generator's output after the edit (anchor + alpha * change).
        image: the counterfactual, rounded to eight bits: query + (painted - anchor), or the output itself.
        target: class index asked for, shape (n,).
        classes: names of the classes.
        before: prediction of the query.
        at_anchor: prediction of the anchor.
        after: prediction of the shown image.
        status: how each search ended.
        alpha: share of the edit's change that was kept, see `LineSearch`; 1 is the whole.
        steps: taken, anchor included.
        seconds: wall time of each image.
        history: of each edit, one row a step.
        method: its name.
        settings: all of it, as plain values.
        seed: of noise and weights.
        spread: standard deviation of the change between the searches (intensity), shape (n, 1, h, w), as far as the
            line search kept it; None of a single search.
        region: where changes were allowed; None is everywhere.
        mask: where the lesion is, for metrics; None where it is not known.
    """

    query: Images
    anchor: Images
    painted: Images
    image: Images
    target: Int[Tensor, " n"]
    classes: Sequence[str]
    before: Prediction
    at_anchor: Prediction
    after: Prediction
    status: tuple[Status, ...]
    alpha: tuple[float, ...]
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    history: tuple[list[dict[str, float]], ...]
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    spread: Float[Tensor, "n 1 h w"] | None = None
    region: Float[Tensor, "n 1 h w"] | None = None
    mask: Float[Tensor, "n 1 h w"] | None = None

    @property
    def difference(self) -> Float[Tensor, "n 3 h w"]:
        """The change: painted - anchor, free of the generator's reconstruction error."""
        return self.painted - self.anchor

    @property
    def source(self) -> Int[Tensor, " n"]:
        """Class index predicted of each query."""
        return self.before.logits.argmax(1)

    @property
    def found(self) -> tuple[bool, ...]:
        """Whether each shown image is predicted as its target by an edit."""
        return tuple(s is Status.FOUND for s in self.status)

    def __len__(self) -> int:
        return len(self.query)

    def __iter__(self) -> Iterator[Edit]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Edit:
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        i = index % len(self)
        values = {f.name: _part(getattr(self, f.name), i) for f in fields(self) if f.name not in _WHOLE}
        return replace(self, **values)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{self.classes[s]} -> {self.classes[t]}: {status.value}"
            for s, t, status in zip(self.source.tolist(), self.target.tolist(), self.status, strict=True)
        )
        return f"Edit({self.method}; {shown})"


_WHOLE = ("classes", "method", "settings", "seed")


def _part(value: Any, i: int) -> Any:
    """The i-th image's share of a field of `Edit`."""
    if value is None:
        return None
    if isinstance(value, Prediction):
        return value.at(slice(i, i + 1))
    return value[i : i + 1]


def concatenate(results: Sequence[Edit]) -> Edit:
    """Several results of one method on one classifier as one batch."""
    first = results[0]

    def joined(name: str) -> Any:
        values = [getattr(r, name) for r in results]
        if values[0] is None:
            return None
        if isinstance(values[0], Prediction):
            return join_predictions(values)
        return torch.cat(values) if isinstance(values[0], Tensor) else tuple(x for v in values for x in v)

    return replace(first, **{f.name: joined(f.name) for f in fields(first) if f.name not in _WHOLE})
