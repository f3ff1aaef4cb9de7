"""What a network made of some images, seen once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from cfexplain_classifiers import LesionClassifier
from cfexplain_classifiers.batches import labelled
from cfexplain_classifiers.estimator import pool

Array = np.ndarray
Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network made of some images: enough to fit and to judge heads without looking again."""

    logits: Tensor
    joint: Tensor
    labels: Tensor
    pooled: tuple[Tensor, ...]

    @property
    def true(self) -> Tensor:
        """Cross entropy of the calibrated prediction with the label."""
        return F.cross_entropy(self.logits, self.labels, reduction="none")

    def confidence(self) -> Array:
        """Minus the largest probability: high where the prediction is not to be trusted."""
        scores: Array = -self.logits.softmax(1).max(1).values.numpy()
        return scores

    def __add__(self, other: Seen) -> Seen:
        """Both."""
        pooled = tuple(torch.cat(p) for p in zip(self.pooled, other.pooled, strict=True))
        logits, labels = torch.cat([self.logits, other.logits]), torch.cat([self.labels, other.labels])
        return Seen(logits, torch.cat([self.joint, other.joint]), labels, pooled)


@torch.no_grad()
def look(network: LesionClassifier, batches: Batches) -> Seen:
    """Run the network over labelled batches."""
    rows = []
    for images, labels in labelled(batches):
        found = network(images)
        assert found.loss is not None
        rows.append((found.logits, found.loss, labels, *(pool(f).float() for f in found.features)))
    logits, joint, labels, *pooled = (torch.cat(part) for part in zip(*rows, strict=True))
    return Seen(logits.float(), joint.float(), labels, tuple(pooled))


def kept(path: Path, make: Callable[[], Seen]) -> Seen:
    """What was seen, from the disk where it is there."""
    if not path.exists():
        seen = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = {"logits": seen.logits, "joint": seen.joint, "labels": seen.labels}
        parts |= {f"pooled.{k:02d}": p for k, p in enumerate(seen.pooled)}
        save_file({k: v.contiguous() for k, v in parts.items()}, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
        print("seen", path.stem, len(seen.labels), flush=True)
    parts = load_file(path)
    pooled = tuple(parts[k] for k in sorted(parts) if k.startswith("pooled."))
    return Seen(parts["logits"], parts["joint"], parts["labels"], pooled)


def fit_facts(seen: Seen) -> dict[str, float]:
    """Size, error rate and median loss of a set, which tell how much the classifier has memorised it."""
    wrong = seen.logits.argmax(1) != seen.labels
    return {"n": len(wrong), "error_rate": float(wrong.float().mean()), "median_loss": float(seen.true.median())}
