"""Train the independent classifiers that judge counterfactuals and are never optimised against.

    python experiments/oracles.py grey            25 minutes on one core

`grey` is of another architecture and seed than every shipped classifier, starts from random weights, and sees
grey pictures with strongly varied brightness and contrast, so that it cannot share a shortcut of colour.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from train_shipped import ROOT, InMemory, sets

from cfexplain import Prediction
from cfexplain_classifiers import Recipe, judge, load, train
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_datasets.augment import training_augmentation

RUNS = ROOT / "runs" / "oracles"
GREY = Recipe(
    "lcnet_100", image_size=128, epochs=24, learning_rate=2e-3, balance=0.5, seed=41, averaging=0.998, patience=24
)
AUGMENT = training_augmentation(GREY.image_size)


class Grey:
    """A classifier behind a grey filter."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.classes, self.image_size = inner, inner.classes, inner.image_size

    def __call__(self, images: Tensor) -> Prediction:
        """Predict the grey version of a batch."""
        found: Prediction = self.inner(images.mean(1, keepdim=True).expand_as(images))
        return found


def grey_oracle(path: Path = RUNS / "grey" / "classifier.safetensors") -> Grey:
    """The trained grey oracle."""
    return Grey(load(path))


def greyed(samples: InMemory) -> InMemory:
    """The samples without colour, in place."""
    samples.pictures = [p.mean(2, keepdims=True).round().astype(np.uint8).repeat(3, 2) for p in samples.pictures]
    return samples


def varied(picture: np.ndarray, seed: int) -> np.ndarray:
    """The training augmentation with brightness and contrast far beyond it, without colour."""
    rng = np.random.default_rng(seed)
    seen = AUGMENT(picture, seed).astype(np.float32).mean(2, keepdims=True)
    contrast, brightness = rng.uniform(0.6, 1.5), rng.uniform(-40, 40)
    seen = (seen - seen.mean()) * contrast + seen.mean() + brightness
    return seen.clip(0, 255).astype(np.uint8).repeat(3, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["grey"])
    args = parser.parse_args()
    training, validation, test = (greyed(s) for s in sets("ham10000"))
    labels = training.labels
    path = train(
        GREY,
        training,
        validation,
        RUNS / args.name,
        labels=labels,
        augment=varied,
        progress=lambda x: print(x, flush=True),
    )
    batches = list(evaluation_batches(test, GREY.image_size))
    found = judge(load(path), batches)
    print({k: round(v, 4) for k, v in found.classifier.items() if isinstance(v, float)})


if __name__ == "__main__":
    main()
