"""Explaining a prediction by a counterfactual: anchor, edit, line search, verification."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain.classifier.checks import check_classifier, check_outputs, class_index, predict
from cfexplain.engine.device import (
    batch_size,
    beside_each_other,
    in_batches,
    one_each,
    one_thread_each,
    predict_each,
    prepared,
    verified_at_once,
)
from cfexplain.generators.noise import generator_for
from cfexplain.images import check_images, round8
from cfexplain.method.presets import NATURAL
from cfexplain.method.stage import Method, settings_of
from cfexplain.method.stop import Step, StopRule
from cfexplain.search.anchor import Anchor, AnchorTask, fit_anchors
from cfexplain.search.compose import compose, consensus, spread
from cfexplain.search.descend import Solution, Task, descend, minimise_all
from cfexplain.search.edit import Edit, concatenate
from cfexplain.search.saliency import salient_region
from cfexplain.types import Classifier, Images, Prediction, Problem, Status, join_problems

Callback = Callable[[int, str, Step], object]
"""Called as callback(index of the image, name of the stage, step)."""

Target = int | str | Sequence[int | str]

ANCHOR_SHARE, EDIT_SHARE = 0.4, 0.85
"""Shares of a budget after which the anchor and the edit end; the rest is for the line search, where there is one.

Source: ours; what budgets buy: experiments/benchmarks/cost.py.
"""


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
    batch: int | None = None,
    callback: Callback | None = None,
) -> Edit:
    """Find the small natural change of each image after which the classifier predicts `target`.

    The generator first reconstructs the image (the anchor), then its weights are optimised until the prediction
    changes; the change is output - anchor, and the image shown is the query plus that change.

    Args:
        classifier: in evaluation mode; it is left exactly as it was.
        images: RGB in [0, 1], shape (n, 3, h, w), on the classifier's device and of its precision.
        target: class name or index, one for all or one an image; "auto" is the second most likely class.
        method: how (see `cfexplain.METHODS`).
        seed: of the generator's noise and weights; an image's result depends on it and on the image alone.
        budget: seconds an image, after which the best so far is returned; a batch has the sum of them. The anchor
            uses at most `ANCHOR_SHARE` of it. A generator that has hardly fitted the image changes it in patches of
            colour, so give the default more than 2 s at 128 pixels.
        region: 1 where the image may change; changes elsewhere are exactly zero.
        mask: 1 on the lesion, for the metrics only.
        batch: images optimised together, each with weights of its own; None is one on a CPU, where that is
            fastest, and as many as fit on a GPU. Results agree with those of single images up to rounding.
        callback: called with every step.

    Returns:
        An `Edit`; a search that fails is a status in it, not an exception.

    Raises:
        ValueError: images, target, region or classifier are not usable; the message says why.

    Example:
        >>> import cfexplain_classifiers
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> edit = explain(classifier, torch.rand(1, 3, 64, 64), budget=1.0)
        >>> len(edit)
        1
    """
    check_images(images)
    check_classifier(classifier)
    if batch is not None and batch < 1:
        raise ValueError(f"batch must be at least 1 image, got {batch}")
    check_outputs(classifier, images[:1])
    check_area("region", region, images)
    check_area("mask", mask, images)
    classifier = prepared(classifier, images)
    with one_thread_each(images.device) as beside:
        problems = _problems(classifier, images, target, region)
        method.edit.objective.check(problems[0])
        queries = []
        for i, problem in enumerate(problems):
            area = None if mask is None else mask[i : i + 1].to(images)
            queries.append(Query(problem, method, seed, area, callback and partial(callback, i)))

        def one_step() -> object:
            task = queries[0].anchor_task().begin()
            return next(descend(task.module.to(images.device), task.z, task.problem, method.edit, rng=task.rng), None)

        size = batch_size(images, batch, one_step)
        classifiers = one_each(classifier, method.searches, beside)
        return concatenate(in_batches(queries, size, lambda q: explain_together(q, budget, classifiers), classifier))


@dataclass(frozen=True, eq=False)
class Query:
    """One image's search. The mask is for the metrics; `callback` gets the stage's name and the step."""

    problem: Problem
    method: Method
    seed: int
    mask: Tensor | None
    callback: Callable[[str, Step], object] | None

    @property
    def already_target(self) -> bool:
        """Whether the query itself is predicted as the target."""
        return int(self.problem.source.logits.argmax(1)) == int(self.problem.target)  # type: ignore[union-attr,arg-type]

    def anchor_task(self) -> AnchorTask:
        """What fitting the anchor needs."""
        return AnchorTask(self.problem, self.method, self.seed, self._callback("anchor"))

    @cached_property
    def allowed(self) -> Tensor | None:
        """Where the edit may change the image; None is everywhere."""
        share, views = self.method.salient, self.method.edit.views
        return self.problem.region if share is None or views is None else salient_region(self.problem, share, views)

    def edit_task(self, anchor: Anchor, k: int, classifier: Classifier) -> Task:
        """The k-th descent from the anchor to the target; of iterates the smallest change that holds is kept."""
        rule = self.method.edit.stop or StopRule()
        rng = generator_for(self.problem.query, self.seed, f"edit {k}" if k else "edit")
        module = copy.deepcopy(anchor.module) if k else anchor.module
        callback = None if k else self._callback("edit")  # steps of searches beside each other would mix
        problem = replace(self.problem, classifier=classifier, region=self.allowed)
        return Task(module, anchor.z, problem, rng, anchor.image, rule.score, callback)

    def unedited(self, anchor: Anchor | None) -> Edit:
        """The query itself: it is the target already, or nothing could be done."""
        query = round8(self.problem.query)
        start, unknown = self.problem.query if anchor is None else anchor.image, query[:, :1] * math.nan
        predictions = [predict(self.problem.classifier, part, defined=False) for part in (start, query)]  # type: ignore[arg-type]
        if anchor is None:
            return self.edit((start, start, query), predictions, Status.ALREADY_TARGET, apart=unknown)
        return self.edit((start, start, query), predictions, Status.DIVERGED, anchor.steps, apart=unknown)

    def edit(
        self,
        images: Sequence[Images],
        predictions: Sequence[Prediction],
        status: Status,
        steps: int = 0,
        alpha: float = 1.0,
        history: Sequence[dict[str, float]] = (),
        apart: Tensor | None = None,
    ) -> Edit:
        """The edit of this image from anchor, output and shown image, and the predictions of the first and the last."""
        anchor, painted, image = images
        at_anchor, after = predictions
        return Edit(
            query=self.problem.query,
            anchor=anchor,
            painted=painted,
            image=image,
            target=self.problem.target,  # type: ignore[arg-type]
            classes=tuple(self.problem.classifier.classes),  # type: ignore[union-attr]
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
            spread=None if self.method.searches == 1 else apart,
            region=self.problem.region,
            mask=self.mask,
        )

    def _callback(self, stage: str) -> Callable[[Step], object] | None:
        return self.callback and partial(self.callback, stage)


def explain_together(queries: Sequence[Query], budget: float, classifiers: Sequence[Classifier]) -> list[Edit]:
    """Anchor, edits, line search and verification of images of one method and size that are optimised together.

    `classifiers` are one for each search, which then run at the same time, or one for all.
    """
    started, method, total = time.perf_counter(), queries[0].method, len(queries) * budget
    open_queries = [query for query in queries if not query.already_target]
    fitted = fit_anchors([query.anchor_task() for query in open_queries], started + ANCHOR_SHARE * total)
    anchors = dict(zip(open_queries, fitted, strict=True))
    able = [query for query in open_queries if anchors[query].ending != "diverged"]
    own = [classifiers[k % len(classifiers)] for k in range(method.searches)]
    searches = [[query.edit_task(anchors[query], k, own[k]) for query in able] for k in range(method.searches)]
    transfer, until = method.transfer == "during", started + (EDIT_SHARE if method.line_search else 1.0) * total

    def edit(tasks: Sequence[Task]) -> list[Solution]:
        return minimise_all(tasks, method.edit, transfer=transfer, deadline=until)

    solutions, moved = beside_each_other(searches, edit, len(classifiers)), {}
    for query, task, *found in zip(able, searches[0], *solutions, strict=True):
        if any(solution.steps > 0 for solution in found):
            sound = [solution for solution in found if solution.ending != "diverged"]
            moved[query] = sound or found[:1], task.rng
    results = {query: query.unedited(anchors.get(query)) for query in queries if query not in moved}
    at_once = verified_at_once(queries[0].problem.query)
    for k in range(0, len(moved), at_once):
        some = list(moved)[k : k + at_once]
        results |= zip(some, _finish([(q, anchors[q], *moved[q]) for q in some], started + total), strict=True)
    share = (time.perf_counter() - started) / len(queries)
    return [replace(results[query], seconds=(share,)) for query in queries]


def check_area(name: str, area: Tensor | None, images: Images) -> None:
    """Refuse a region or mask that is not one channel an image, of the images' size and within [0, 1]."""
    if area is None:
        return
    if area.shape != (len(images), 1, *images.shape[-2:]):
        raise ValueError(f"{name} must have shape (n, 1, h, w) like the images, got {tuple(area.shape)}")
    if not bool(((area >= 0) & (area <= 1)).all()):
        raise ValueError(f"{name} must lie in [0, 1], 1 where it is; divide 8-bit values by 255")


def _finish(
    parts: Sequence[tuple[Query, Anchor, Sequence[Solution], torch.Generator | None]], deadline: float
) -> list[Edit]:
    """Line search along each change, then the image that is shown, verified as it is shown."""
    queries, anchors, edits, rngs = zip(*parts, strict=True)
    method, problem = queries[0].method, join_problems([query.problem for query in queries])
    anchor = torch.cat([a.image for a in anchors])
    change = consensus(problem, method, anchor, edits) - anchor
    alpha = problem.query.new_ones(len(queries))
    able = [k for k, own in enumerate(edits) if any(edit.ending != "diverged" for edit in own)]
    if method.line_search is not None and able:
        base = anchor if method.transfer == "never" else problem.query
        alpha[able] = method.line_search(problem.at(able), base[able], change[able], [rngs[k] for k in able], deadline)
    painted = anchor + alpha.view(-1, 1, 1, 1) * change
    image = compose(problem, method, anchor, painted)
    before, after = (predict_each(problem.classifier, part, defined=False) for part in (anchor, image))  # type: ignore[arg-type]
    results = []
    for k, (query, own) in enumerate(zip(queries, edits, strict=True)):
        if not bool(after[k].logits.isfinite().all()):
            results.append(query.unedited(anchors[k]))
            continue
        images = [part[k : k + 1] for part in (anchor, painted, image)]
        steps = anchors[k].steps + sum(edit.steps for edit in own)
        status = _status(after[k], query.problem, own[0])
        share, apart = float(alpha[k]), float(alpha[k]) * spread(images[0], own)
        results.append(query.edit(images, (before[k], after[k]), status, steps, share, own[0].history, apart))
    return results


def _status(after: Prediction, problem: Problem, edit: Solution) -> Status:
    if int(after.logits.argmax(1)) == int(problem.target):  # type: ignore[arg-type]
        return Status.FOUND
    return {"diverged": Status.DIVERGED, "out_of_time": Status.OUT_OF_BUDGET}.get(edit.ending, Status.NOT_FOUND)


def _problems(classifier: Classifier, images: Images, target: Target, region: Tensor | None) -> list[Problem]:
    """One problem an image."""
    before = predict_each(classifier, images)
    targets = _targets(classifier, before, target)
    area = None if region is None else region.to(images)
    return [
        Problem(query, classifier, before[i], targets[i : i + 1], None if area is None else area[i : i + 1])
        for i, query in enumerate(images.split(1))
    ]


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
