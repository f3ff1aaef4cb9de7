"""Heads that estimate the loss: the network's own, or fitted afterwards on its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import cfexplain
from cfexplain_classifiers import LesionClassifier, LossEstimator, fit_estimator
from estimator_study.seen import EXTRAS, Array, Seen

SEEDS = (0, 1, 2)
JOINT, TRAINED, VALIDATED = "joint", "post hoc, training", "post hoc, validation"
SOFTMAX, OTHER = "max-softmax", "witness network"
"""Scorers that are no heads of the network."""


class Recalled:
    """A classifier of indices: of image number k it returns the stored output."""

    image_size = 1

    def __init__(self, seen: Seen, classes: Sequence[str]) -> None:
        self.seen, self.classes = seen, classes

    def __call__(self, numbers: Tensor) -> cfexplain.Prediction:
        """The stored prediction."""
        return cfexplain.Prediction(self.seen.logits[numbers], tuple(p[numbers] for p in self.seen.pooled), None)


@dataclass(frozen=True, eq=False)
class Head:
    """A loss estimator, standardised on validation images; without a module, the network's own."""

    module: LossEstimator | None = None
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def fit(cls, seen: Seen, validation: Seen, classes: Sequence[str], seed: int) -> Head:
        """A head by the package's `fit_estimator`, standardised."""
        numbers = torch.arange(len(seen.labels))
        module = fit_estimator(Recalled(seen, classes), [(numbers, seen.labels)], seed=seed).estimator
        raw = module(validation.pooled)
        return cls(module, float(raw.mean()), float(raw.std()))

    @torch.no_grad()
    def __call__(self, seen: Seen) -> Array:
        """Standardised estimates."""
        values: Array = self.standardised(cfexplain.Prediction(seen.logits, seen.pooled, seen.joint)).numpy()
        return values

    def standardised(self, found: cfexplain.Prediction) -> Tensor:
        """Of a prediction, with its gradient."""
        if self.module is not None:
            estimated: Tensor = (self.module(found.features) - self.mean) / self.std
            return estimated
        assert found.loss is not None
        return found.loss


def heads(network: LesionClassifier, sets: Mapping[str, Seen], seed: int) -> dict[str, Head]:
    """The joint head, and the post hoc ones by what they were fitted on."""
    found = {JOINT: Head()}
    for source in ("training", "validation"):
        for extra in EXTRAS:
            if f"{source} {extra}".strip() in sets:
                seen = sets[source] + sets[f"{source} {extra}"] if extra else sets[source]
                name = f"post hoc, {source}" + (f" + {extra}" if extra else "")
                found[name] = Head.fit(seen, sets["validation"], network.classes, seed)
    return found
