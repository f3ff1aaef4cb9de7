"""The two verbs: explain a prediction by a counterfactual, invert latent encodings to an image."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cfexplain.images import check_images, round8
from cfexplain.methods import DIP_INVERSION, NATURAL
from cfexplain.objective import Objective
from cfexplain.result import Counterfactual, concatenate, settings_of
from cfexplain.solve import Method, Solution, Stage, minimise
from cfexplain.stop import Step, TargetReached, psnr
from cfexplain.terms import SameFeatures
from cfexplain.terms.features import relative_error
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
    before = [_predict(classifier, query) for query in images.split(1)]
    targets = _targets(classifier, before, target)
    for name, area in (("region", region), ("mask", mask)):
        if area is not None and (area.shape[-2:] != images.shape[-2:] or len(area) != len(images) or area.ndim != 4):
            raise ValueError(f"{name} must have shape (n, 1, h, w) like the images, got {tuple(area.shape)}")
    results = []
    for i, query in enumerate(images.split(1)):
        here = slice(i, i + 1)
        problem = Problem(query, classifier, before[i], targets[here], None if region is None else region[here])
        search = _Search(problem, method, seed, budget, None if watch is None else _bind(watch, i))
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
    watch: Callable[[str, Step], object] | None

    def run(self) -> Counterfactual:
        """Anchor, edit, transfer, verify."""
        started = time.perf_counter()
        problem, query = self.problem, self.problem.query
        if int(problem.source.logits.argmax(1)) == int(problem.target):  # type: ignore[union-attr,arg-type]
            return self._result(query, query, round8(query), Status.ALREADY_TARGET, [], started)
        rng = generator_for(query, self.seed)
        module = self.method.generator.build(query, rng)
        z = self.method.generator.draw(query, rng)
        deadline = started + self.budget
        anchor, steps = query, 0
        if self.method.anchor is not None:
            painted = self._minimise("anchor", module, z, self.method.anchor, rng, deadline)
            anchor, steps = painted.image, painted.steps
            if painted.ending == "diverged":
                return self._result(anchor, anchor, round8(query), Status.DIVERGED, [], started, steps)
        edit = self._minimise("edit", module, z, self.method.edit, rng, deadline, anchor)
        image = self._shown(anchor, edit)
        status = self._status(image, edit)
        return self._result(anchor, edit.image, image, status, edit.history, started, steps + edit.steps)

    def _minimise(
        self,
        name: str,
        module: nn.Module,
        z: Tensor,
        stage: Stage,
        rng: torch.Generator,
        deadline: float,
        anchor: Images | None = None,
    ) -> Solution:
        rule = stage.stop if isinstance(stage.stop, TargetReached) else TargetReached(confidence=1.0)
        watch = self.watch
        return minimise(
            module,
            z,
            self.problem,
            stage,
            rng=rng,
            anchor=anchor,
            transfer=self.method.transfer == "during",
            deadline=deadline,
            better=None if anchor is None else lambda step: rule.better(step, self.problem),
            watch=None if watch is None else lambda step: watch(name, step),
        )

    def _shown(self, anchor: Images, edit: Solution) -> Images:
        """The image for people, in eight bits; see `Method.transfer`."""
        painted = round8(edit.image)
        transferred = round8(self.problem.query + (edit.image - anchor))
        if self.method.transfer == "never":
            return painted
        if self.method.transfer == "after" and self._flips(painted) and not self._flips(transferred):
            return painted
        return transferred

    def _flips(self, image: Images) -> bool:
        prediction = _predict(self.problem.classifier, image)  # type: ignore[arg-type]
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
            at_anchor=_predict(classifier, anchor),
            after=_predict(classifier, image),
            status=(status,),
            steps=(steps,),
            seconds=(time.perf_counter() - started,),
            history=(history,),
            method=self.method.name,
            settings=settings_of(self.method),
            seed=self.seed,
            region=self.problem.region,
        )


@dataclass(frozen=True, eq=False)
class Inversion:
    """Pre-images: images whose latent encodings are those of the query.

    Attributes:
        query: shape (n, 3, h, w).
        image: the pre-images.
        layers: which taps were matched.
        feature_error: relative squared error of each tap of the classifier, shape (n, taps).
        psnr: decibels to the query, by image.
        predicted: class index of the query and of the pre-image, shape (n, 2).
        method: its name.
        seconds: by image.
    """

    query: Images
    image: Images
    layers: tuple[int, ...]
    feature_error: Float[Tensor, "n taps"]
    psnr: tuple[float, ...]
    predicted: Int[Tensor, "n 2"]
    method: str
    seconds: tuple[float, ...]


def invert(
    classifier: Classifier,
    images: Images,
    *,
    layers: Sequence[int] | None = None,
    method: Method = DIP_INVERSION,
    seed: int = 0,
    watch: Watch | None = None,
) -> Inversion:
    """Paint images that the classifier encodes as it encodes these: x* = argmin sum_l ||Psi_l(x*) - Psi_l(x)||^2.

    Args:
        classifier: in evaluation mode, with taps.
        images: RGB in [0, 1], shape (n, 3, h, w).
        layers: which taps to match, 0 the shallowest; None is all.
        method: `DIP_INVERSION`, `TV_INVERSION`, or your own; every `SameFeatures` in it gets these layers.
        seed: of noise and weights.
        watch: called with every step.

    Source: Ulyanov et al. 2018, section 3; Mahendran and Vedaldi 2015 for TV.
    """
    check_images(images)
    check_classifier(classifier)
    sources = [_predict(classifier, query) for query in images.split(1)]
    chosen = tuple(range(len(sources[0].features))) if layers is None else tuple(layers)
    stage = replace(method.edit, objective=_at_layers(method.edit.objective, chosen))
    painted, seconds = [], []
    for i, query in enumerate(images.split(1)):
        started = time.perf_counter()
        rng = generator_for(query, seed)
        module = method.generator.build(query, rng)
        z = method.generator.draw(query, rng)
        problem = Problem(query, classifier, sources[i])
        bound = None if watch is None else _bind(watch, i)
        name = "layers " + " ".join(str(layer) for layer in chosen)
        shown = None if bound is None else lambda step, bound=bound, name=name: bound(name, step)
        painted.append(minimise(module, z, problem, stage, rng=rng, watch=shown).image)
        seconds.append(time.perf_counter() - started)
    reached = [_predict(classifier, image) for image in painted]
    errors = [
        torch.cat([relative_error(a, b) for a, b in zip(after.features, before.features, strict=True)])
        for after, before in zip(reached, sources, strict=True)
    ]
    predicted = [[int(p.logits.argmax(1)) for p in pair] for pair in zip(sources, reached, strict=True)]
    return Inversion(
        images,
        torch.cat(painted),
        chosen,
        torch.stack(errors),
        tuple(psnr(a, b) for a, b in zip(painted, images.split(1), strict=True)),
        torch.tensor(predicted),
        method.name,
        tuple(seconds),
    )


def check_classifier(classifier: Classifier) -> None:
    """Refuse a classifier in training mode: its normalisation and dropout would answer differently each time."""
    module = classifier if isinstance(classifier, nn.Module) else getattr(classifier, "module", None)
    if isinstance(module, nn.Module) and any(m.training for m in module.modules()):
        raise ValueError("the classifier is in training mode: call .eval() on it before explaining its predictions")


def generator_for(query: Images, seed: int) -> torch.Generator:
    """Randomness of one image, a function of the seed and of the image's eight-bit content."""
    content = round8(query.detach().cpu().float()).mul(255).byte().contiguous().numpy().tobytes()
    digest = hashlib.sha256(f"{seed}:{tuple(query.shape)}:".encode() + content).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _targets(classifier: Classifier, before: Sequence[Prediction], target: Target) -> Int[Tensor, " n"]:
    wanted = [target] * len(before) if isinstance(target, int | str) else list(target)
    if len(wanted) != len(before):
        raise ValueError(f"give one target for all images or one for each: got {len(wanted)} for {len(before)} images")
    second = [int(p.logits.topk(2, dim=1).indices[0, 1]) for p in before]
    indices = [second[i] if t == "auto" else class_index(classifier, t) for i, t in enumerate(wanted)]
    return torch.tensor(indices, device=before[0].logits.device)


def class_index(classifier: Classifier, target: int | str) -> int:
    """The index of a class given by name or index.

    Raises:
        ValueError: the classifier has no such class; the message lists those it has.
    """
    classes = list(classifier.classes)
    if isinstance(target, str) and target in classes:
        return classes.index(target)
    if isinstance(target, int) and 0 <= target < len(classes):
        return target
    raise ValueError(f"the classifier has no class {target!r}; it knows {', '.join(classes)}")


@torch.no_grad()
def _predict(classifier: Classifier, images: Images) -> Prediction:
    prediction = classifier(images)
    if not bool(prediction.logits.isfinite().all()):
        raise ValueError("the classifier answers with infinite or undefined logits: its weights are damaged")
    return prediction.detach()


def _at_layers(objective: Objective, layers: tuple[int, ...]) -> Objective:
    def moved(term: Any) -> Any:
        return replace(term, layers=layers) if isinstance(term, SameFeatures) else term

    return Objective(tuple(replace(part, term=moved(part.term)) for part in objective.parts))


def _bind(watch: Watch, index: int) -> Callable[[str, Step], object]:
    return lambda name, step: watch(index, name, step)
