"""No prior: the pixels themselves, for baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cfexplain.types import Images


@dataclass(frozen=True)
class Pixels:
    """An image as its own parameters, x = sigmoid(theta), so that it stays in [0, 1].

    Attributes:
        start: at the query, or at grey with a little noise (as inversion by total variation starts).
        margin: how far from 0 and 1 the start is kept, for the logit to be finite; black and white stay so in 8 bits.

    Source: pixel descent as in Mahendran and Vedaldi 2015; the sigmoid is ours (they clip softly by a norm).

    Example:
        >>> query = torch.full((1, 3, 8, 8), 0.25)
        >>> painted = Pixels().build(query, torch.Generator())(torch.zeros(0))
        >>> bool(torch.allclose(painted, query))
        True
    """

    start: Literal["query", "noise"] = "query"
    margin: float = 1 / 1020

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """Free pixels."""
        if self.start == "query":
            return FreePixels(query.clamp(self.margin, 1 - self.margin).logit())
        noise = 0.1 * torch.randn(query.shape, generator=rng)
        return FreePixels(noise.to(query.device, query.dtype))

    def draw(self, query: Images, rng: torch.Generator) -> Tensor:
        """Pixels need no input."""
        return query.new_zeros(0)


class FreePixels(nn.Module):
    """The module of `Pixels`."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.detach().clone())

    def forward(self, z: Tensor) -> Tensor:
        """Paint; z is not used."""
        return torch.sigmoid(self.logits)
