"""Several different answers to one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cfexplain.method.objective import total
from cfexplain.method.presets import NATURAL
from cfexplain.method.stage import Method
from cfexplain.search.edit import Edit, concatenate
from cfexplain.search.explain import Target, check_area, explain
from cfexplain.terms import Unlike
from cfexplain.types import Classifier, Images

UNLIKE = 2.0
"""Weight of being unlike the answers before."""


def explain_diverse(
    classifier: Classifier,
    images: Images,
    target: Target = "auto",
    *,
    count: int = 3,
    method: Method = NATURAL,
    seed: int = 0,
    weight: float = UNLIKE,
    **settings: Any,
) -> list[Edit]:
    """Find several counterfactuals of each image, each with a change unlike those of the answers before it.

    Args:
        classifier: as for `explain`.
        images: as for `explain`.
        target: as for `explain`.
        count: answers.
        method: as for `explain`; its edit gains the term `Unlike`.
        seed: of the first answer; the k-th has seed + k, so that it also starts from another painting.
        weight: of being unlike the others.
        **settings: passed on to `explain`.

    Returns:
        The answers in the order they were found; the first is that of `explain`. `metrics.seeds.diversity` says how
        different they are.

    Example:
        >>> import torch, cfexplain_classifiers
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> len(explain_diverse(classifier, torch.rand(1, 3, 64, 64), count=2, budget=0.5))
        2
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    targets = [target] * len(images) if isinstance(target, int | str) else list(target)
    if len(targets) != len(images):
        raise ValueError(f"give one target for all images or one for each: got {len(targets)} for {len(images)} images")
    for name in ("region", "mask"):
        check_area(name, settings.get(name), images)
    answers: list[Edit] = []
    for k in range(count):
        found = [
            explain(
                classifier,
                image,
                targets[i],
                method=_unlike(method, answers, i, weight),
                seed=seed + k,
                **_of_image(settings, i),
            )
            for i, image in enumerate(images.split(1))
        ]
        answers.append(concatenate(found))
    return answers


def _of_image(settings: Mapping[str, Any], i: int) -> dict[str, Any]:
    """What `explain` needs to be told of the i-th image alone."""
    own = dict(settings)
    for name in ("region", "mask"):
        if own.get(name) is not None:
            own[name] = own[name][i : i + 1]
    watch = own.get("watch")
    if watch is not None:
        own["watch"] = lambda _, stage, step: watch(i, stage, step)
    return own


def _unlike(method: Method, answers: Sequence[Edit], i: int, weight: float) -> Method:
    if not answers:
        return method
    term = Unlike(tuple(answer[i].difference for answer in answers))
    return replace(method, edit=replace(method.edit, objective=method.edit.objective | total((weight, term))))
