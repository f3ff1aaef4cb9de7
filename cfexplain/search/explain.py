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

from cfexplain.classifier.checks import check_classifier, check_gradient, class_index, predict
from cfexplain.engine.batch import DescentTask, fitting, minimise_all
from cfexplain.engine.cuda_graph import GraphedClassifier
from cfexplain.generators.noise import generator_for
from cfexplain.images import check_images, round8
from cfexplain.method.presets import NATURAL
from cfexplain.method.settings import settings_of
from cfexplain.method.stage import Method
from cfexplain.method.stop import Step, TargetReached
from cfexplain.search.anchor import Anchor, AnchorTask, paint_anchors
from cfexplain.search.compose import VERIFIED, predict_each, reached, shown
from cfexplain.search.descend import Solution
from cfexplain.search.edit import Edit, concatenate
from cfexplain.types import Classifier, Images, Prediction, Problem, Status

Watch = Callable[[int, str, Step], object]
"""Called as watch(index of the image, name of the stage, step)."""

Target = int | str | Sequence[int | str]

ANCHOR_SHARE = 0.4
"""At most so much of a budget goes to the anchor. Source: ours; what budgets buy: experiments/benchmarks/cost.py."""


@torch.enable_grad()
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
    batch: int | None = None,
    watch: Watch | None = None,
) -> Edit:
    """Find the small natural change of each image after which the classifier says `target`.

    The generator first paints the image (the anchor), then moves its painting until the prediction changes;
    the change is painted - anchor, and the image shown is the query plus that change.

    Args:
        classifier: in evaluation mode; it is left exactly as it was.
        images: RGB in [0, 1], shape (n, 3, h, w), on the classifier's device and of its precision.
        target: class name or index, one for all or one an image; "auto" is the second most likely class.
        method: how (see `cfexplain.method.presets`).
        seed: of the generator's noise and weights; an image's result depends on it and on the image alone.
        budget: seconds an image, after which what has been reached is returned; a batch has the sum of them. Of a short
            one the anchor has at most `ANCHOR_SHARE`, so that time is left for the edit; a painter that has learned
            little of the image moves it in patches of colour, so give the default more than 2 s at 128 pixels.
        region: 1 where the image may change; changes elsewhere are exactly zero.
        mask: where the lesion is, for the metrics only.
        anchors: a folder that keeps what the generator has learned of each image, so that other targets and
            other edits of the same image start at once.
        batch: images optimised together, each with weights of its own; None is one on a CPU, where that is
            fastest, and as many as fit on a GPU. Results agree with those of single images but for rounding.
        watch: called with every step.

    Returns:
        A `Edit`; a search that fails is a status in it, not an exception.

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
    if batch is not None and batch < 1:
        raise ValueError(f"batch must be at least 1 image, got {batch}")
    check_gradient(classifier, images[:1])
    classifier = GraphedClassifier(classifier) if images.is_cuda else classifier
    before = predict_each(classifier, images, defined=True)
    targets = _targets(classifier, before, target)
    method.edit.objective.check(Problem(images[:1], classifier, before[0], targets[:1]))
    check_area("region", region, images)
    check_area("mask", mask, images)
    region, mask = (None if area is None else area.to(images) for area in (region, mask))
    store = None if anchors is None else Path(anchors)
    searches = []
    for i, query in enumerate(images.split(1)):
        here = slice(i, i + 1)
        problem = Problem(query, classifier, before[i], targets[here], None if region is None else region[here])
        area = None if mask is None else mask[here]
        searches.append(_Search(problem, method, seed, budget, store, area, None if watch is None else _bind(watch, i)))
    alone = batch is None and not images.is_cuda
    size = 1 if alone else batch or fitting(searches[0].task().begin(), method.edit)
    return concatenate(_in_batches(searches, size))


def _in_batches(searches: Sequence[_Search], size: int) -> list[Edit]:
    """A batch after the other; where memory runs out, half as many at once."""
    done: list[Edit] = []
    while len(done) < len(searches):
        try:
            done += _together(searches[len(done) : len(done) + size])
            continue
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        size = (size + 1) // 2  # outside of `except`, whose traceback holds all that the failed batch had
        classifier = searches[0].problem.classifier
        if isinstance(classifier, GraphedClassifier):
            classifier.forget()
        torch.cuda.empty_cache()
    return done


def _together(searches: Sequence[_Search]) -> list[Edit]:
    """Anchors, edits, then each image's smallest share and its verification."""
    started, method = time.perf_counter(), searches[0].method
    budget = sum(search.budget for search in searches)
    deadline, painted_by = started + budget, started + ANCHOR_SHARE * budget
    asked = [search for search in searches if not search.already_there()]
    anchors = dict(zip(asked, paint_anchors([s.task() for s in asked], painted_by) if asked else [], strict=True))
    able = {search: search.edit(anchors[search]) for search in asked if anchors[search].ending != "diverged"}
    moved = minimise_all(list(able.values()), method.edit, transfer=method.transfer == "during", deadline=deadline)
    edits = {search: edit for search, edit in zip(able, moved, strict=True) if edit.steps > 0}
    results = {search: search.unedited(anchors.get(search)) for search in searches if search not in edits}
    at_once = VERIFIED if searches[0].problem.query.is_cuda else 1
    for k in range(0, len(edits), at_once):
        some = list(edits)[k : k + at_once]
        rngs: list[torch.Generator] = [able[s].rng for s in some]  # type: ignore[misc]
        results |= zip(some, _finished(some, [anchors[s] for s in some], [edits[s] for s in some], rngs), strict=True)
    share = (time.perf_counter() - started) / len(searches)
    return [replace(results[search], seconds=(share,)) for search in searches]


def check_area(name: str, area: Tensor | None, images: Images) -> None:
    """Refuse a region or mask that is not one channel an image, of the images' size and within [0, 1].

    Raises:
        ValueError: the message says what came instead.
    """
    if area is None:
        return
    if area.shape != (len(images), 1, *images.shape[-2:]):
        raise ValueError(f"{name} must have shape (n, 1, h, w) like the images, got {tuple(area.shape)}")
    if not bool(((area >= 0) & (area <= 1)).all()):
        raise ValueError(f"{name} must lie in [0, 1], 1 where it is; divide 8-bit values by 255")


@dataclass(frozen=True, eq=False)
class _Search:
    """One image's search."""

    problem: Problem
    method: Method
    seed: int
    budget: float
    store: Path | None
    mask: Tensor | None
    watch: Callable[[str, Step], object] | None

    def already_there(self) -> bool:
        """Whether the query itself is predicted as the target."""
        return int(self.problem.source.logits.argmax(1)) == int(self.problem.target)  # type: ignore[union-attr,arg-type]

    def task(self) -> AnchorTask:
        """What painting the anchor needs."""
        return AnchorTask(self.problem, self.method, self.seed, self.store, self._watched("anchor"))

    def edit(self, anchor: Anchor) -> DescentTask:
        """Move the painting to the target; of single paintings the smallest change that holds is kept."""
        stop, problem = self.method.edit.stop, self.problem
        rule = stop if isinstance(stop, TargetReached) else TargetReached(confidence=1.0)
        return DescentTask(
            anchor.module,
            anchor.z,
            problem,
            generator_for(problem.query, self.seed, "edit"),
            anchor=anchor.image,
            better=lambda step: rule.better(step, problem),
            watch=self._watched("edit"),
        )

    def unedited(self, anchor: Anchor | None) -> Edit:
        """The query itself: it is the target already, or nothing could be done to it."""
        query = round8(self.problem.query)
        if anchor is None:
            return self.result(self.problem.query, self.problem.query, query, Status.ALREADY_TARGET)
        return self.result(anchor.image, anchor.image, query, Status.DIVERGED, anchor.steps)

    def _watched(self, stage: str) -> Callable[[Step], object] | None:
        watch = self.watch
        return None if watch is None else lambda step: watch(stage, step)

    def result(
        self,
        anchor: Images,
        painted: Images,
        image: Images,
        status: Status,
        steps: int = 0,
        alpha: float = 1.0,
        history: Sequence[dict[str, float]] = (),
        seen: tuple[Prediction, Prediction] | None = None,
    ) -> Edit:
        """What was found; `seen` are the predictions of anchor and image where they are known."""
        classifier: Classifier = self.problem.classifier  # type: ignore[assignment]
        at_anchor, after = seen or (predict(classifier, part, defined=False) for part in (anchor, image))
        return Edit(
            query=self.problem.query,
            anchor=anchor,
            painted=painted,
            image=image,
            target=self.problem.target,  # type: ignore[arg-type]
            classes=tuple(classifier.classes),
            before=self.problem.source.without_features(),  # type: ignore[union-attr]
            at_anchor=at_anchor.without_features(),
            after=after.without_features(),
            status=(status,),
            alpha=(alpha,),
            steps=(steps,),
            seconds=(0.0,),
            history=(list(history),),
            method=self.method.name,
            settings=settings_of(self.method),
            seed=self.seed,
            region=self.problem.region,
            mask=self.mask,
        )


def _finished(
    searches: Sequence[_Search], anchors: Sequence[Anchor], edits: Sequence[Solution], rngs: Sequence[torch.Generator]
) -> list[Edit]:
    """LineSearch each change, show it, verify what is shown."""
    method, classifier = searches[0].method, searches[0].problem.classifier
    assert classifier is not None
    query = torch.cat([s.problem.query for s in searches])
    problem = Problem(query, classifier, None, torch.cat([s.problem.target for s in searches]))  # type: ignore[misc]
    anchor = torch.cat([a.image for a in anchors])
    change = reached(problem, method, anchor, edits) - anchor
    alpha = query.new_ones(len(query))
    able = [k for k, edit in enumerate(edits) if edit.ending != "diverged"]
    if method.line_search is not None and able:
        base = anchor if method.transfer == "never" else query
        alpha[able] = method.line_search(problem.at(able), base[able], change[able], [rngs[k] for k in able])
    painted = anchor + alpha.view(-1, 1, 1, 1) * change
    image = shown(problem, method, anchor, painted)
    seen = zip(predict_each(classifier, anchor), predict_each(classifier, image), strict=True)
    results = []
    for k, (search, edit, (at_anchor, after)) in enumerate(zip(searches, edits, seen, strict=True)):
        if not bool(after.logits.isfinite().all()):
            results.append(search.unedited(anchors[k]))
            continue
        here, status = slice(k, k + 1), _status(after, search.problem, edit)
        results.append(
            search.result(
                anchor[here], painted[here], image[here], status, anchors[k].steps + edit.steps, float(alpha[k]),
                edit.history, (at_anchor, after),
            )
        )  # fmt: skip
    return results


def _status(after: Prediction, problem: Problem, edit: Solution) -> Status:
    if int(after.logits.argmax(1)) == int(problem.target):  # type: ignore[arg-type]
        return Status.FOUND
    return {"diverged": Status.DIVERGED, "out_of_time": Status.OUT_OF_BUDGET}.get(edit.ending, Status.NOT_FOUND)


def _targets(classifier: Classifier, before: Sequence[Prediction], target: Target) -> Int[Tensor, " n"]:
    wanted = [target] * len(before) if isinstance(target, int | str) else list(target)
    if len(wanted) != len(before):
        raise ValueError(f"give one target for all images or one for each: got {len(wanted)} for {len(before)} images")
    second = [int(_without_first(p.logits).argmax(1)) for p in before]
    indices = [second[i] if t == "auto" else class_index(classifier, t) for i, t in enumerate(wanted)]
    return torch.tensor(indices, device=before[0].logits.device)


def _without_first(logits: Tensor) -> Tensor:
    """Logits without the predicted class; `topk` may order equal ones otherwise than `argmax`."""
    return logits.scatter(1, logits.argmax(1, keepdim=True), -math.inf)


def _bind(watch: Watch, index: int) -> Callable[[str, Step], object]:
    return lambda name, step: watch(index, name, step)
