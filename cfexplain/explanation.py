"""Explaining a prediction by a counterfactual: anchor, edit, show, verify."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain.anchor import Anchor, paint_anchor
from cfexplain.classifier import check_classifier, class_index, predict
from cfexplain.generators.noise import generator_for
from cfexplain.images import check_images, round8
from cfexplain.methods import NATURAL
from cfexplain.result import Counterfactual, concatenate, settings_of
from cfexplain.solve import Method, Solution, minimise
from cfexplain.stop import Step, TargetReached
from cfexplain.types import Classifier, Images, Prediction, Problem, Status

Watch = Callable[[int, str, Step], object]
"""Called as watch(index of the image, name of the stage, step)."""

Target = int | str | Sequence[int | str]


def explain(
    classifier: Classifier,
    images: Images,
    target: Target = "auto",
    *,
    method: Method = NATURAL,
    seed: int = 0,
    budget: float = math.inf,
    region: Float[Tensor, "n 1 h w"] | None = None,
    mask: Float[Tensor, "n 1 h w"] | None = None,
    anchors: str | Path | None = None,
    watch: Watch | None = None,
) -> Counterfactual:
    """Find the small natural change of each image after which the classifier says `target`.

    The generator first paints the image (the anchor), then moves its painting until the prediction changes;
    the change is painted - anchor, and the image shown is the query plus that change.

    Args:
        classifier: in evaluation mode; it is left exactly as it was.
        images: RGB in [0, 1], shape (n, 3, h, w), on the classifier's device.
        target: class name or index, one for all or one an image; "auto" is the second most likely class.
        method: how (see `cfexplain.methods`).
        seed: of the generator's noise and weights; an image's result depends on it and on the image alone.
        budget: seconds an image, after which the best image so far is returned.
        region: 1 where the image may change; changes elsewhere are exactly zero.
        mask: where the lesion is, for the metrics only.
        anchors: a folder that keeps what the generator has learned of each image, so that other targets and
            other edits of the same image start at once.
        watch: called with every step.

    Returns:
        A `Counterfactual`; a search that fails is a status in it, not an exception.

    Raises:
        ValueError: images, target, region or classifier are not usable; the message says why.

    Example:
        >>> import cfexplain_classifiers
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> result = explain(classifier, torch.rand(1, 3, 64, 64), budget=1.0)
        >>> len(result)
        1
    """
    check_images(images)
    check_classifier(classifier)
    before = [predict(classifier, query) for query in images.split(1)]
    targets = _targets(classifier, before, target)
    for name, area in (("region", region), ("mask", mask)):
        if area is not None and (area.shape[-2:] != images.shape[-2:] or len(area) != len(images) or area.ndim != 4):
            raise ValueError(f"{name} must have shape (n, 1, h, w) like the images, got {tuple(area.shape)}")
    results = []
    for i, query in enumerate(images.split(1)):
        here = slice(i, i + 1)
        problem = Problem(query, classifier, before[i], targets[here], None if region is None else region[here])
        store = None if anchors is None else Path(anchors)
        search = _Search(problem, method, seed, budget, store, None if watch is None else _bind(watch, i))
        found = search.run()
        results.append(replace(found, mask=None if mask is None else mask[here]))
    return concatenate(results)


@dataclass(frozen=True, eq=False)
class _Search:
    """One image's search."""

    problem: Problem
    method: Method
    seed: int
    budget: float
    anchors: Path | None
    watch: Callable[[str, Step], object] | None

    def run(self) -> Counterfactual:
        """Anchor, edit, shrink, verify."""
        started = time.perf_counter()
        problem, query = self.problem, self.problem.query
        if int(problem.source.logits.argmax(1)) == int(problem.target):  # type: ignore[union-attr,arg-type]
            return self._result(query, query, round8(query), Status.ALREADY_TARGET, [], started)
        deadline = started + self.budget
        anchor = paint_anchor(
            problem, self.method, self.seed, deadline=deadline, watch=self._watched("anchor"), store=self.anchors
        )
        if anchor.ending == "diverged":
            return self._result(anchor.image, anchor.image, round8(query), Status.DIVERGED, [], started, anchor.steps)
        rng = generator_for(query, self.seed, "edit")
        edit = self._edit(anchor, rng, deadline)
        alpha = self._alpha(anchor, edit, rng)
        painted = anchor.image + alpha * (edit.image - anchor.image)
        image = self._shown(anchor.image, painted)
        steps = anchor.steps + edit.steps
        status = self._status(image, edit)
        return self._result(anchor.image, painted, image, status, edit.history, started, steps, alpha)

    def _edit(self, anchor: Anchor, rng: torch.Generator, deadline: float) -> Solution:
        """Move the painting to the target; the smallest change that holds is kept."""
        stage = self.method.edit
        rule = stage.stop if isinstance(stage.stop, TargetReached) else TargetReached(confidence=1.0)
        return minimise(
            anchor.module,
            anchor.z,
            self.problem,
            stage,
            rng=rng,
            anchor=anchor.image,
            transfer=self.method.transfer == "during",
            deadline=deadline,
            better=lambda step: rule.better(step, self.problem),
            watch=self._watched("edit"),
        )

    def _watched(self, stage: str) -> Callable[[Step], object] | None:
        watch = self.watch
        return None if watch is None else lambda step: watch(stage, step)

    def _alpha(self, anchor: Anchor, edit: Solution, rng: torch.Generator) -> float:
        """The share of the change that is kept."""
        if self.method.shrink is None or edit.ending == "diverged":
            return 1.0
        base = anchor.image if self.method.transfer == "never" else self.problem.query
        return self.method.shrink(self.problem, base, edit.image - anchor.image, rng)

    def _shown(self, anchor: Images, edited: Images) -> Images:
        """The image for people, in eight bits; see `Method.transfer`."""
        painted = round8(edited)
        transferred = round8(self.problem.query + (edited - anchor))
        if self.method.transfer == "never":
            return painted
        if self.method.transfer == "after" and self._flips(painted) and not self._flips(transferred):
            return painted
        return transferred

    def _flips(self, image: Images) -> bool:
        prediction = predict(self.problem.classifier, image)  # type: ignore[arg-type]
        return int(prediction.logits.argmax(1)) == int(self.problem.target)  # type: ignore[arg-type]

    def _status(self, image: Images, edit: Solution) -> Status:
        if self._flips(image):
            return Status.FOUND
        return {"diverged": Status.DIVERGED, "out_of_time": Status.OUT_OF_BUDGET}.get(edit.ending, Status.NOT_FOUND)

    def _result(
        self,
        anchor: Images,
        painted: Images,
        image: Images,
        status: Status,
        history: list[dict[str, float]],
        started: float,
        steps: int = 0,
        alpha: float = 1.0,
    ) -> Counterfactual:
        classifier: Classifier = self.problem.classifier  # type: ignore[assignment]
        return Counterfactual(
            query=self.problem.query,
            anchor=anchor,
            painted=painted,
            image=image,
            target=self.problem.target,  # type: ignore[arg-type]
            classes=tuple(classifier.classes),
            before=self.problem.source,  # type: ignore[arg-type]
            at_anchor=predict(classifier, anchor),
            after=predict(classifier, image),
            status=(status,),
            alpha=(alpha,),
            steps=(steps,),
            seconds=(time.perf_counter() - started,),
            history=(history,),
            method=self.method.name,
            settings=settings_of(self.method),
            seed=self.seed,
            region=self.problem.region,
        )


def _targets(classifier: Classifier, before: Sequence[Prediction], target: Target) -> Int[Tensor, " n"]:
    wanted = [target] * len(before) if isinstance(target, int | str) else list(target)
    if len(wanted) != len(before):
        raise ValueError(f"give one target for all images or one for each: got {len(wanted)} for {len(before)} images")
    second = [int(p.logits.topk(2, dim=1).indices[0, 1]) for p in before]
    indices = [second[i] if t == "auto" else class_index(classifier, t) for i, t in enumerate(wanted)]
    return torch.tensor(indices, device=before[0].logits.device)


def _bind(watch: Watch, index: int) -> Callable[[str, Step], object]:
    return lambda name, step: watch(index, name, step)
