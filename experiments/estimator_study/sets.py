"""The images that heads are fitted on, as a network sees them, and spoilt or strange ones beside them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from isic_comparison import DATA

from cfexplain_classifiers import LesionClassifier
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_classifiers.hardening import disturbed, off_distribution
from estimator_study.results import RUN
from estimator_study.seen import Batches, Seen, kept, look

EPSILON = 4 / 255
EXTRAS = ("", "no lesions", "disturbed")


@cache
def ham10000(split: str) -> Any:
    """A split of HAM10000 as the shipped classifier was trained: without copies of held-out images."""
    from cfexplain_datasets import open_dataset
    from cfexplain_datasets.splits import without_leaks

    return without_leaks(open_dataset("ham10000", DATA / "isic" / "ham10000_200x150")).subset(split)


class Some:
    """Every n-th sample of a set."""

    def __init__(self, samples: Any, every: int) -> None:
        self.samples, self.every, self.classes = samples, every, samples.classes

    def __len__(self) -> int:
        return len(range(0, len(self.samples), self.every))

    def __getitem__(self, index: int) -> Any:
        return self.samples[index * self.every]


def spoilt(network: LesionClassifier, samples: Any, extra: str) -> Batches:
    """Images beside a set, made of every fourth of its images as in training.

    An image that is no lesion gets a label drawn at random: the mean of its loss over the draws is what the
    joint training ranks (`hardening.true_loss`).
    """
    rng = torch.Generator().manual_seed(0)
    for images, labels in evaluation_batches(Some(samples, 4), network.image_size):
        if extra == "disturbed":
            yield disturbed(network, images, labels, EPSILON, rng)
        else:
            yield off_distribution(images, rng), torch.randint(len(network.classes), labels.shape, generator=rng)


def seer(network: LesionClassifier, samples: Any, extra: str = "") -> Callable[[], Seen]:
    """Look at a set, or at images beside it, when asked."""
    if extra:
        return lambda: look(network, spoilt(network, samples, extra))
    return lambda: look(network, evaluation_batches(samples, network.image_size))


def ham10000_sets(network: LesionClassifier) -> dict[str, Seen]:
    """Training and validation images as the network sees them, and images beside them."""
    sets: dict[str, Seen] = {}
    for source, split in (("training", "train"), ("validation", "val")):
        for extra in EXTRAS:
            name = f"{source} {extra}".strip()
            path = RUN / "ham10000" / f"{name.replace(' ', '_')}.safetensors"
            sets[name] = kept(path, lambda split=split, extra=extra: seer(network, ham10000(split), extra)())  # type: ignore[misc]
    return sets


def synthetic_sets(network: LesionClassifier, training: Any, validation: Any, folder: Path) -> dict[str, Seen]:
    """Training and validation images as a small network sees them, and those that are no lesions."""
    sets = {}
    for name, samples in (("training", training), ("validation", validation)):
        sets[name] = kept(folder / f"{name}.safetensors", seer(network, samples))
        strange = seer(network, samples, "no lesions")
        sets[f"{name} no lesions"] = kept(folder / f"{name}_no_lesions.safetensors", strange)
    return sets
