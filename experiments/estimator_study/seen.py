"""The outputs of a network on sets of images, computed once and kept: images to fit heads on, disturbed and other ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import shared
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from cfexplain_classifiers import LesionClassifier
from cfexplain_classifiers.batches import evaluation_batches, labelled
from cfexplain_classifiers.estimator import pool
from cfexplain_classifiers.hardening import disturbed, off_distribution
from cfexplain_datasets.splits import without_leaks

RUN, OUT = shared.RUNS / "estimator", shared.RESULTS / "estimator"
EPSILON = 4 / 255
EXTRAS = ("", "no lesions", "disturbed")

Array = np.ndarray
Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Seen:
    """The outputs on some images: enough to fit and to evaluate heads without the images."""

    logits: Tensor
    joint: Tensor
    labels: Tensor
    pooled: tuple[Tensor, ...]

    @property
    def true(self) -> Tensor:
        """Cross entropy of the calibrated prediction with the label."""
        return F.cross_entropy(self.logits, self.labels, reduction="none")

    def uncertainty(self) -> Array:
        """Minus the largest probability."""
        scores: Array = -self.logits.softmax(1).max(1).values.numpy()
        return scores

    def __add__(self, other: Seen) -> Seen:
        pooled = tuple(torch.cat(p) for p in zip(self.pooled, other.pooled, strict=True))
        logits, labels = torch.cat([self.logits, other.logits]), torch.cat([self.labels, other.labels])
        return Seen(logits, torch.cat([self.joint, other.joint]), labels, pooled)

    def facts(self) -> dict[str, float]:
        """Size, error rate and median loss, which show how much of a set the classifier has memorised."""
        wrong = self.logits.argmax(1) != self.labels
        return {"n": len(wrong), "error_rate": float(wrong.float().mean()), "median_loss": float(self.true.median())}


@torch.no_grad()
def look(network: LesionClassifier, batches: Batches) -> Seen:
    rows = []
    for images, labels in labelled(batches):
        found = network(images)
        assert found.loss is not None
        rows.append((found.logits, found.loss, labels, *(pool(f).float() for f in found.features)))
    logits, joint, labels, *pooled = (torch.cat(part) for part in zip(*rows, strict=True))
    return Seen(logits.float(), joint.float(), labels, tuple(pooled))


def kept(network: LesionClassifier, folder: Path, name: str, batches: Callable[[], Batches]) -> Seen:
    """The outputs, from the disk where they are there."""
    path = folder / f"{name.replace(' ', '_')}.safetensors"
    if not path.exists():
        seen = look(network, batches())
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"logits": seen.logits, "joint": seen.joint, "labels": seen.labels}
        parts |= {f"pooled.{k:02d}": p for k, p in enumerate(seen.pooled)}
        save_file({k: v.contiguous() for k, v in parts.items()}, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
        print("seen", path.stem, len(seen.labels), flush=True)
    parts = load_file(path)
    pooled = tuple(parts[k] for k in sorted(parts) if k.startswith("pooled."))
    return Seen(parts["logits"], parts["joint"], parts["labels"], pooled)


class Some:
    """Every n-th sample of a set."""

    def __init__(self, samples: Any, every: int) -> None:
        self.samples, self.every, self.classes = samples, every, samples.classes

    def __len__(self) -> int:
        return len(range(0, len(self.samples), self.every))

    def __getitem__(self, index: int) -> Any:
        return self.samples[index * self.every]


def batches_of(network: LesionClassifier, samples: Any, extra: str) -> Batches:
    """A set; or with `extra`, images made of every fourth of it as in training.

    An image that is no lesion gets a label drawn at random: the mean of its loss over the draws is what the
    joint training ranks (`hardening.true_loss`).
    """
    rng = torch.Generator().manual_seed(0)
    for images, labels in evaluation_batches(Some(samples, 4) if extra else samples, network.image_size):
        if extra == "disturbed":
            yield disturbed(network, images, labels, EPSILON, rng)
        elif extra:
            yield off_distribution(images, rng), torch.randint(len(network.classes), labels.shape, generator=rng)
        else:
            yield images, labels


def sets(
    network: LesionClassifier, folder: Path, sources: dict[str, Callable[[], Any]], extras: Sequence[str] = EXTRAS
) -> dict[str, Seen]:
    """Training and validation images as a network sees them, and those made of them, by name."""
    found = {}
    for source, samples in sources.items():
        for extra in extras:
            name = f"{source} {extra}".strip()
            found[name] = kept(network, folder, name, lambda s=samples, e=extra: batches_of(network, s(), e))  # type: ignore[misc]
    return found


@cache
def ham10000(split: str) -> Any:
    """A split of HAM10000 as the shipped classifier was trained: without copies of held-out images."""
    return without_leaks(shared.ham10000()).subset(split)


def ham10000_sets(network: LesionClassifier) -> dict[str, Seen]:
    sources = {"training": lambda: ham10000("train"), "validation": lambda: ham10000("val")}
    return sets(network, RUN / "ham10000", sources)


def write(name: str, found: dict[str, Any]) -> None:
    """A part's numbers, rounded to five digits."""
    shared.write_json(
        OUT / f"{name}.json", json.loads(json.dumps(found), parse_float=lambda x: float(f"{float(x):.5g}"))
    )
    print("wrote", name, flush=True)
