"""Batches of samples for training and evaluation: read, cropped, augmented, reproducible at every epoch."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cfexplain.images import ImageError, square, to_uint8

# (image as (h, w, 3) uint8, seed) -> augmented square of the network's size as (s, s, 3) uint8
Augment = Callable[[np.ndarray, int], np.ndarray]
Pair = tuple[Tensor, int]


class Samples(Protocol):
    """A data set: items with `image` (RGB in [0, 1], shape (3, h, w)) and `label` (a class index or None)."""

    @property
    def classes(self) -> Sequence[str]: ...  # noqa: D102

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Squares(Dataset[Pair]):
    """Samples as (square image, label), augmented with a seed of (seed, epoch, index) if `augment` is given."""

    def __init__(
        self, samples: Samples, size: int, augment: Augment | None = None, *, seed: int = 0, epoch: int = 0
    ) -> None:
        self.samples, self.size, self.augment, self.seed, self.epoch = samples, size, augment, seed, epoch

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Pair:
        """One image of shape (3, size, size) and its label; -1 if the label is unknown or the image unreadable."""
        try:
            sample = self.samples[index]
        except (ImageError, OSError):
            return torch.zeros(3, self.size, self.size), -1
        label = -1 if sample.label is None else int(sample.label)
        if self.augment is None:
            return square(sample.image, self.size), label
        seed = int(np.random.SeedSequence((self.seed, self.epoch, index)).generate_state(1)[0] & 0x7FFFFFFF)
        augmented = self.augment(to_uint8(sample.image), seed)
        return torch.from_numpy(np.ascontiguousarray(augmented)).permute(2, 0, 1).float().div_(255), label


def balanced_order(labels: Sequence[int], balance: float, seed: int, epoch: int = 0) -> list[int]:
    """Indices of one epoch: as many draws as samples, each with probability proportional to n_c ** -balance.

    n_c is the number of samples of the class c; samples with the label -1 are never drawn. Classes are balanced by
    sampling and not by weights in the loss, so that the target of the loss estimator is the unweighted loss.
    """
    known = torch.tensor(labels)
    counts = torch.bincount(known[known >= 0], minlength=1).double()
    weights = torch.where(known < 0, 0.0, counts.clamp_min(1)[known.clamp_min(0)] ** -balance)
    rng = torch.Generator().manual_seed(seed * 100_003 + epoch)
    return list(torch.multinomial(weights, len(weights), replacement=True, generator=rng).tolist())


def training_batches(squares: Squares, order: Sequence[int], batch_size: int, workers: int) -> DataLoader[Pair]:
    """Batches of one epoch in the given order; the last incomplete batch is dropped."""
    return _loader(squares, batch_size, workers, sampler=order, drop_last=True)


def evaluation_batches(samples: Samples, size: int, workers: int = 0) -> DataLoader[Pair]:
    """Every sample once, in order, without augmentation; draws nothing from torch's global generator."""
    return _loader(Squares(samples, size), 64, workers, generator=torch.Generator())


def labelled(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches reduced to the images whose label is known (not -1); batches without any are skipped."""
    for images, labels in batches:
        keep = labels >= 0
        if keep.any():
            yield images[keep], labels[keep]


def _loader(squares: Squares, batch_size: int, workers: int, **options: Any) -> DataLoader[Pair]:
    start = "fork" if workers and "fork" in multiprocessing.get_all_start_methods() else None
    return DataLoader(squares, batch_size, num_workers=workers, multiprocessing_context=start, **options)
