"""Several different counterfactuals of one image."""

from __future__ import annotations

import math
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from cfexplain.method.objective import total
from cfexplain.method.presets import NATURAL
from cfexplain.method.stage import Method
from cfexplain.search.edit import Edit
from cfexplain.search.explain import Callback, explain
from cfexplain.terms import Unlike
from cfexplain.types import Classifier, Images

UNLIKE = 2.0
"""Weight of `Unlike`, the squared cosine with the changes found before."""


def explain_diverse(
    classifier: Classifier,
    image: Images,
    target: int | str = "auto",
    *,
    count: int = 3,
    method: Method = NATURAL,
    seed: int = 0,
    budget: float = math.inf,
    region: Float[Tensor, "1 1 h w"] | None = None,
    callback: Callback | None = None,
) -> list[Edit]:
    """Find several counterfactuals of one image, each with a change unlike those before it.

    Args:
        classifier: as for `explain`.
        image: one image, shape (1, 3, h, w).
        target: as for `explain`.
        count: how many.
        method: its edit gains the term `Unlike`.
        seed: of the first; the k-th has seed + k, so that it also starts from another anchor.
        budget: seconds for each.
        region: as for `explain`.
        callback: as for `explain`.

    Returns:
        The counterfactuals in the order they were found; the first is that of `explain`.

    Raises:
        ValueError: there are several images, or `count` is below 1.

    Example:
        >>> import torch, cfexplain_classifiers
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> len(explain_diverse(classifier, torch.rand(1, 3, 64, 64), count=2, budget=0.5))
        2
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if len(image) != 1:
        raise ValueError(f"give one image, shape (1, 3, h, w), got {len(image)} images")
    found: list[Edit] = []
    for k in range(count):
        unlike = _unlike(method, found) if found else method
        settings = {"seed": seed + k, "budget": budget, "region": region, "callback": callback}
        found.append(explain(classifier, image, target, method=unlike, **settings))  # type: ignore[arg-type]
    return found


def _unlike(method: Method, found: list[Edit]) -> Method:
    term = Unlike(tuple(edit.difference for edit in found))
    return replace(method, edit=replace(method.edit, objective=method.edit.objective | total((UNLIKE, term))))
