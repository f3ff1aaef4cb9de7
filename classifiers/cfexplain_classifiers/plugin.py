"""What the command line finds by entry point: classifiers by name, their description, training and evaluation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import cfexplain_classifiers as library
from cfexplain_classifiers import checkpoint
from cfexplain_classifiers.batches import Augment, Samples, evaluation_batches
from cfexplain_classifiers.checkpoint import Card as Card
from cfexplain_classifiers.hardening import off_distribution
from cfexplain_classifiers.judgement import strangers_from
from cfexplain_classifiers.network import LesionClassifier

NAMES = checkpoint.SHIPPED
SUBSAMPLE = 300


def load(name: str) -> LesionClassifier:
    """A classifier by shipped name, run folder or .safetensors file, in evaluation mode, with batch norm folded."""
    return library.folded(library.load(name))


def card(name: str) -> dict[str, Any]:
    """The description of a classifier: `architecture` (classes, image_size, ...), `data`, `licence`, `metrics`."""
    return checkpoint.describe(checkpoint.locate(name))


def train(
    recipe: Mapping[str, Any],
    samples: tuple[Any, Samples],
    out: Path,
    augment: Callable[[int], Augment],
    **options: Any,
) -> Path:
    """`cfexplain_classifiers.train`, with the fields of `Recipe` by name.

    The samples are those of training, which also have `labels`, and of validation; `augment` maps the image size to an
    augmentation; `options` are the other arguments of `cfexplain_classifiers.train`.
    """
    plan, (training, validation) = library.Recipe(**recipe), samples
    options |= {"labels": training.labels, "augment": augment(plan.image_size), "hardening": off_distribution}
    return library.train(plan, training, validation, out, **options)


def judge(name: str, samples: Samples, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Evaluate a classifier on labelled samples, and on out-of-distribution images made from `SUBSAMPLE` of them."""
    network = library.load(name).to(device)
    if list(samples.classes) != list(network.classes):
        raise ValueError(
            f"the classifier knows {', '.join(network.classes)}, the data set {', '.join(samples.classes)}"
        )
    batches = list(evaluation_batches(samples, network.image_size))
    some = torch.cat([images for images, _ in batches])[:: max(1, len(samples) // SUBSAMPLE)][:SUBSAMPLE]
    return library.judge(network, batches, strangers=strangers_from(some)).to_dict()
