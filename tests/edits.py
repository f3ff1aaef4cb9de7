"""Edits made by hand, for tests of metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from types import SimpleNamespace

import torch
from torch import Tensor

from cfexplain.search.edit import Edit
from cfexplain.types import Prediction


def edit_of(
    change: Tensor,
    *,
    query: Tensor | None = None,
    target: Sequence[int] | None = None,
    logits: Tensor | None = None,
    mask: Tensor | None = None,
) -> SimpleNamespace:
    """An edit that adds `change`, shape (n, 3, h, w), to a grey picture or to `query`."""
    n = len(change)
    query = torch.full_like(change, 0.5) if query is None else query
    said = Prediction(torch.tensor([[1.0, 0.0]]).repeat(n, 1) if logits is None else logits)
    return SimpleNamespace(
        query=query, anchor=query, painted=query + change, image=query + change,
        target=torch.tensor([1] * n if target is None else target), before=said, after=said, mask=mask,
    )  # fmt: skip


def random_edit(count: int = 4, size: int = 32, seed: int = 0) -> SimpleNamespace:
    """An edit of noise, all pixels between 0 and 1."""
    rng = torch.Generator().manual_seed(seed)
    query, image = (torch.rand(count, 3, size, size, generator=rng) for _ in range(2))
    return edit_of(image - query, query=query)


def reordered(edit: SimpleNamespace, order: Sequence[int]) -> SimpleNamespace:
    """The same images in another order."""
    index = list(order)

    def moved(value: object) -> object:
        if isinstance(value, Prediction):
            return Prediction(value.logits[index])
        return value[index] if isinstance(value, Tensor) else value

    return SimpleNamespace(**{name: moved(value) for name, value in vars(edit).items()})


def follows_the_order(measure: Callable[[SimpleNamespace], Tensor], edit: SimpleNamespace) -> bool:
    """Whether reordering the batch reorders what is measured, and changes nothing else."""
    order = list(range(len(edit.query)))[::-1]
    return torch.allclose(measure(reordered(edit, order)).double(), measure(edit)[order].double(), atol=1e-5)


def diversity(edits: Sequence[Edit]) -> Tensor:
    """Mean over pairs of 1 - cosine of what they changed: 0 is one change up to its strength, 2 opposite ones."""
    changes = [(edit.painted - edit.anchor).float().flatten(1) for edit in edits]
    return torch.stack([1 - torch.cosine_similarity(a, b) for a, b in combinations(changes, 2)]).mean(0)
