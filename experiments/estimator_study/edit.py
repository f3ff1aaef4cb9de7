"""What is done to a lesion: noise, attacks and explanations that make it its second class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from isic_comparison import ROOT, keep, place
from torch import Tensor

import cfexplain
from cfexplain import methods
from cfexplain.explanation.folder import load as load_explanation
from cfexplain.images import round8
from cfexplain.search.edit import Edit
from cfexplain_classifiers import LesionClassifier
from cfexplain_classifiers.hardening import corrupted
from estimator_study.head import JOINT, VALIDATED, Head
from estimator_study.results import RUN
from estimator_study.sets import EPSILON

EXPLAINED = (methods.PIXELS, methods.DIP, methods.REGULARISED_DIP)
NOISE = ("random signs", "corrupted")
ATTACKS = {"attack": "", "attack on joint too": JOINT, "attack on disturbed too": f"{VALIDATED} + disturbed"}
"""Attacks on the class, and the head whose estimate is lowered with it."""


def attacks(
    network: LesionClassifier, queries: Tensor, second: Tensor, judges: Mapping[str, Head]
) -> dict[str, Tensor]:
    """The queries by what noise or attack was put on them."""
    changed = {name: noisy(name, queries) for name in NOISE}
    return changed | {name: towards(network, queries, second, judges.get(head)) for name, head in ATTACKS.items()}


def explanations(
    network: LesionClassifier, lesions: Sequence[Any], pairs: Sequence[tuple[Tensor, Tensor]], second: Tensor
) -> dict[str, list[Edit]]:
    """Answers for all lesions by method; a method without all of them is left out."""
    found = {}
    for method in (*EXPLAINED, methods.NATURAL):
        answers = [
            explanation(network, method, lesion.id, query, mask, network.classes[int(target)])
            for lesion, (query, mask), target in zip(lesions, pairs, second, strict=True)
        ]
        there = [a for a in answers if a is not None]
        if len(there) < len(answers):
            missing = len(answers) - len(there)
            print(f"{method.name}: {missing} of {len(answers)} not searched yet, left out", flush=True)
            continue
        found[method.name] = there
    return found


def noisy(name: str, queries: Tensor) -> Tensor:
    """The queries with random signs of the attack's size, or with a fault each, in eight bits."""
    rng = torch.Generator().manual_seed(0)
    if name == "random signs":
        return round8((queries + EPSILON * torch.randn(queries.shape, generator=rng).sign()).clamp(0, 1))
    return round8(corrupted(queries, rng))


def towards(network: LesionClassifier, queries: Tensor, second: Tensor, head: Head | None, steps: int = 20) -> Tensor:
    """Signed steps towards a class, and down the estimate of a head, within `EPSILON` of every pixel."""
    change = torch.zeros_like(queries)
    for _ in range(steps):
        shown = (queries + change).clamp(0, 1).requires_grad_()
        found = network(shown)
        cost = F.cross_entropy(found.logits, second, reduction="sum")
        if head is not None:
            cost = cost + head.standardised(found).sum()
        (gradient,) = torch.autograd.grad(cost, shown)
        change = (change - 2.5 / steps * EPSILON * gradient.sign()).clamp(-EPSILON, EPSILON)
    return round8((queries + change).clamp(0, 1))


def explanation(
    network: LesionClassifier, method: cfexplain.Method, image: str, query: Tensor, mask: Tensor, target: str
) -> Edit | None:
    """A method's answer: the comparison's where it has one, else our own; the slow default is never searched here."""
    ours = RUN / "rows" / method.name / f"{image}-{target}"
    for folder in (place(method.name, image, target, 0), ours):
        if (folder / "row.json").exists():
            return load_explanation(folder).edit
    if method.name == methods.NATURAL.name:
        return None
    anchors = ROOT / "runs" / "isic_comparison" / "anchors"
    found = cfexplain.explain(network, query, target, method=method, mask=mask, seed=0, anchors=anchors)
    keep(found, ours)
    print(image, found, f"{found.seconds[0]:.1f} s", flush=True)
    return found
