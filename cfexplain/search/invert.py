"""Inverting latent encodings: images that the classifier encodes as it encodes the query."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain.classifier.checks import check_classifier, predict
from cfexplain.generators.noise import generator_for
from cfexplain.images import check_images
from cfexplain.method.objective import Objective
from cfexplain.method.presets import DIP_INVERSION
from cfexplain.method.stage import Method
from cfexplain.method.stop import Step, psnr
from cfexplain.search.descend import minimise
from cfexplain.search.explain import Callback
from cfexplain.terms import SameFeatures
from cfexplain.terms.features import relative_error
from cfexplain.types import Classifier, Images, Problem


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
    callback: Callback | None = None,
) -> Inversion:
    """Paint images that the classifier encodes as it encodes these: x* = argmin sum_l ||Psi_l(x*) - Psi_l(x)||^2.

    Args:
        classifier: in evaluation mode, with taps.
        images: RGB in [0, 1], shape (n, 3, h, w).
        layers: which taps to match, 0 the shallowest; None is all.
        method: `DIP_INVERSION`, `TV_INVERSION`, or your own; every `SameFeatures` in it gets these layers.
        seed: of noise and weights.
        callback: called with every step, see `explain`.

    Source: Ulyanov et al. 2018, section 3; Mahendran and Vedaldi 2015 for TV.
    """
    check_images(images)
    check_classifier(classifier)
    sources = [predict(classifier, query) for query in images.split(1)]
    chosen = tuple(range(len(sources[0].features))) if layers is None else tuple(layers)
    stage = replace(method.edit, objective=_at_layers(method.edit.objective, chosen))
    painted, seconds = [], []
    for i, query in enumerate(images.split(1)):
        started = time.perf_counter()
        rng = generator_for(query, seed)
        module = method.generator.build(query, rng).to(query.dtype)
        z = method.generator.draw(query, rng)
        problem = Problem(query, classifier, sources[i])
        painted.append(minimise(module, z, problem, stage, rng=rng, callback=_for_layers(callback, i, chosen)).image)
        seconds.append(time.perf_counter() - started)
    reached = [predict(classifier, image) for image in painted]
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


def _at_layers(objective: Objective, layers: tuple[int, ...]) -> Objective:
    def moved(term: Any) -> Any:
        return replace(term, layers=layers) if isinstance(term, SameFeatures) else term

    return Objective(tuple(replace(part, term=moved(part.term)) for part in objective.parts))


def _for_layers(callback: Callback | None, index: int, layers: tuple[int, ...]) -> Callable[[Step], object] | None:
    if callback is None:
        return None
    name = "layers " + " ".join(map(str, layers))
    return lambda step: callback(index, name, step)
