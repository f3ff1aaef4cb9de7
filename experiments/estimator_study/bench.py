"""The test images on which scorers are compared, clean and spoilt, and images that are no lesions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from cfexplain_classifiers import LesionClassifier
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_classifiers.hardening import attack, corrupted
from cfexplain_classifiers.judgement import strangers_from
from estimator_study.case import EVERY, Case
from estimator_study.seen import Array, Batches, Seen, kept, look
from estimator_study.sets import EPSILON, Some


@dataclass(frozen=True, eq=False)
class Bench:
    """The test images of a network as it saw them, and images beside them."""

    test: Seen
    attacked: Seen
    corrupted: Seen
    strangers: Mapping[str, Seen]

    def case(self, score: Callable[[Seen], Array]) -> Case:
        """A scorer on this bench."""
        home, confidence = score(self.test), self.test.confidence()
        part = slice(None, None, EVERY)
        return Case(
            true=self.test.true.numpy(),
            wrong=(self.test.logits.argmax(1) != self.test.labels).numpy(),
            home=home,
            combined=(rankdata(home) + rankdata(confidence)) / 2,
            away={kind: score(seen) for kind, seen in self.strangers.items()},
            spoilt=np.stack([home[part], score(self.attacked), score(self.corrupted)]),
            spoilt_true=np.stack([self.test.true.numpy()[part], self.attacked.true.numpy(), self.corrupted.true.numpy()]),
        )  # fmt: skip


def bench(network: LesionClassifier, samples: Any, folder: Path) -> Bench:
    """Show a network its test images, attacked and corrupted ones, and images that are no lesions."""
    third = Some(samples, EVERY)
    some = torch.cat([i for i, _ in evaluation_batches(samples, network.image_size)])
    some = some[:: max(1, len(samples) // 300)][:300]

    def attacks() -> Batches:
        rng = torch.Generator().manual_seed(0)
        for images, labels in evaluation_batches(third, network.image_size):
            yield attack(network, images, labels, EPSILON, rng, steps=10), labels

    def faults() -> Batches:
        rng = torch.Generator().manual_seed(0)
        for images, labels in evaluation_batches(third, network.image_size):
            yield corrupted(images, rng), labels

    def seen(name: str, batches: Batches) -> Seen:
        return kept(folder / f"{name.replace(' ', '_')}.safetensors", lambda: look(network, batches))

    return Bench(
        seen("test", evaluation_batches(samples, network.image_size)),
        seen("test attacked", attacks()),
        seen("test corrupted", faults()),
        {k: seen(k, [(i, torch.zeros(len(i)).long()) for i in x.split(64)]) for k, x in strangers_from(some).items()},
    )
