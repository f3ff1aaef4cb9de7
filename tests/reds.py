"""A small data set for tests of training and evaluation: two classes by redness, some of them hard to tell."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Sample:
    image: torch.Tensor
    label: int


class Reds:
    classes = ("dull", "red")

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count, self.seed = count, seed
        self.labels = [i % 2 for i in range(count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng = torch.Generator().manual_seed(self.seed * 10_000 + index)
        image = torch.rand(3, 1, 1, generator=rng) * 0.2 + torch.rand(3, 40, 50, generator=rng) * 0.5
        image[0] += (index % 2) * (0.1 + 0.3 * torch.rand((), generator=rng))
        return Sample(image.clamp(0, 1), index % 2)
