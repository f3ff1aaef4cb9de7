"""Samples on their way to the network: reading, augmenting, batching, reproducible at every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cfexplain.images import ImageError, square, to_uint8
from cfexplain.types import Image

Augment = Callable[[np.ndarray, int], np.ndarray]
"""(picture as (h, w, 3) uint8, seed) -> the network's square as (s, s, 3) uint8."""


class Sample(Protocol):
    """What training needs of a sample."""

    @property
    def image(self) -> Image: ...  # noqa: D102

    @property
    def label(self) -> int | None: ...  # noqa: D102


class Samples(Protocol):
    """What training needs of a data set."""

    @property
    def classes(self) -> Sequence[str]: ...  # noqa: D102

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


Pair = tuple[Tensor, int]


class Squares(Dataset[Pair]):
    """Samples as (square image, label); augmented where `augment` is given, by a seed of (seed, epoch, index)."""

    def __init__(self, samples: Samples, size: int, augment: Augment | None = None, seed: int = 0) -> None:
        self.samples, self.size, self.augment, self.seed, self.epoch = samples, size, augment, seed, 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Pair:
        """One image of shape (3, size, size) and its label, -1 where it is not known or not readable."""
        try:
            sample = self.samples[index]
        except (ImageError, OSError):
            return torch.zeros(3, self.size, self.size), -1
        label = -1 if sample.label is None else int(sample.label)
        if self.augment is None:
            return square(sample.image, self.size), label
        drawn = int(np.random.SeedSequence((self.seed, self.epoch, index)).generate_state(1)[0] & 0x7FFFFFFF)
        augmented = self.augment(to_uint8(sample.image), drawn)
        return torch.from_numpy(np.ascontiguousarray(augmented)).permute(2, 0, 1).float().div_(255), label


class BalancedOrder(Sampler[int]):
    """Draws a sample with probability proportional to n_c ** -balance of its class c; an epoch is n draws.

    balance 0 keeps the natural frequencies, 1 shows every class equally often. Imbalance is met by
    sampling, not by weights in the loss, so that the unweighted loss stays the estimator's target.
    """

    def __init__(self, labels: Sequence[int], balance: float, seed: int) -> None:
        known = torch.tensor(labels)
        counts = torch.bincount(known[known >= 0], minlength=1).double()
        self.weights = torch.where(known < 0, 0.0, counts.clamp_min(1)[known.clamp_min(0)] ** -balance)
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[int]:
        rng = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        drawn: list[int] = torch.multinomial(self.weights, len(self.weights), True, generator=rng).tolist()
        return iter(drawn)


def training_batches(squares: Squares, order: BalancedOrder, batch_size: int, workers: int) -> DataLoader[Pair]:
    """Batches of one epoch; incomplete ones are dropped, for the ranking needs pairs."""
    return DataLoader(
        squares,
        batch_size,
        sampler=order,
        num_workers=workers,
        drop_last=True,
        multiprocessing_context=_context(workers),
    )


def evaluation_batches(samples: Samples, size: int, batch_size: int = 64, workers: int = 0) -> DataLoader[Pair]:
    """Every sample once, in order, without augmentation, and without a draw from torch's global generator."""
    return DataLoader(
        Squares(samples, size),
        batch_size,
        num_workers=workers,
        multiprocessing_context=_context(workers),
        generator=torch.Generator(),
    )


def known(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The part of a batch whose labels are known and whose images could be read."""
    keep = labels >= 0
    return images[keep].contiguous(memory_format=torch.channels_last), labels[keep]


def _context(workers: int) -> str | None:
    import multiprocessing

    return "fork" if workers and "fork" in multiprocessing.get_all_start_methods() else None
