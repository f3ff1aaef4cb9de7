"""Painters kept for the next question: the anchor of an image serves the images close to it."""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from cfexplain.classifier.checks import predict
from cfexplain.generators.generator import Generator
from cfexplain.method.settings import settings_of
from cfexplain.method.stage import Method
from cfexplain.method.stop import CloseEnough
from cfexplain.search.anchor import AnchorTask, paint_anchors
from cfexplain.search.edit import Edit
from cfexplain.search.explain import ANCHOR_SHARE, explain
from cfexplain.types import Classifier, Images, Problem

NEAR = 0.03
"""Root mean square within which an anchor stands for another image: about what the anchor itself is off (32 dB)."""
KEPT = 32
"""Painters at most; each has some megabytes."""


class Painters:
    """Explains images, and paints an anchor only for those far from every image before.

    Tools that perturb an image and ask again (sensitivity, noise tunnels) would otherwise pay for an anchor each
    time. The change is measured against the anchor, so a painting of the unperturbed image serves as well.

    Args:
        method: of the counterfactuals.
        seed: of noise and weights.
        near: see `NEAR`; 0 shares a painter among equal images only.
        store: a folder that keeps painters for other processes, see `explain`.
    """

    def __init__(self, method: Method, seed: int = 0, near: float = NEAR, store: Path | None = None) -> None:
        self.method, self.seed, self.near, self.store = method, seed, near, store
        self._known: deque[tuple[Images, Generator]] = deque(maxlen=KEPT)

    def explain(self, classifier: Classifier, image: Images, target: int, budget: float = math.inf) -> Edit:
        """The counterfactual of one image, as `explain` finds it from this painter.

        Of the image that the painter has learned it is that of `explain` itself, where the painting ended by its
        stop rule; where it ended by the number of steps, the anchor is the painter's last state, a step further.
        """
        before, began = predict(classifier, image), time.perf_counter()
        if self.method.anchor is None or int(before.logits.argmax(1)) == target:
            return explain(classifier, image, target, method=self.method, seed=self.seed, budget=budget)
        taught = self._nearest(image)
        if taught is None:
            asked = Problem(image, classifier, before, torch.tensor([target], device=image.device))
            taught = self._learn(asked, began + ANCHOR_SHARE * budget)
        once = replace(self.method.anchor, steps=1, stop=CloseEnough(psnr=-math.inf, patience=1))
        method = replace(self.method, generator=taught, anchor=once)
        left = max(0.0, budget - (time.perf_counter() - began))
        found = explain(classifier, image, target, method=method, seed=self.seed, budget=left)
        return replace(found, settings=settings_of(self.method))

    def _nearest(self, image: Images) -> Generator | None:
        """The generator that already paints the closest image, where one is near enough."""
        same = [(q, g) for q, g in self._known if q.shape == image.shape and q.device == image.device]
        distances = [float((q - image).square().mean().sqrt()) for q, _ in same]
        best = min(range(len(same)), key=distances.__getitem__, default=None)
        return None if best is None or distances[best] > self.near else same[best][1]

    def _learn(self, asked: Problem, deadline: float) -> Generator:
        (anchor,) = paint_anchors([AnchorTask(asked, self.method, self.seed, self.store)], deadline)
        taught = Taught(self.method.generator, copy.deepcopy(anchor.module), anchor.z)
        self._known.append((asked.query.detach().clone(), taught))
        return taught


class Taught:
    """A generator that starts from what a painter has learned: a `Generator` whose network is not fresh.

    Args:
        recipe: it was built by.
        module: the painter, as it was when it had learned.
        z: its input.
    """

    def __init__(self, recipe: Generator, module: nn.Module, z: Tensor) -> None:
        self.recipe, self.module, self.z = recipe, module, z

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """A copy of the painter."""
        return copy.deepcopy(self.module)

    def draw(self, query: Images, rng: torch.Generator) -> Tensor:
        """The painter's own input."""
        return self.z

    def __repr__(self) -> str:
        return f"Taught({self.recipe!r})"
