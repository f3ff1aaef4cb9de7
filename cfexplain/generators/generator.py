"""What every generator is: a frozen recipe that builds a network and draws what it paints from."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from cfexplain.types import Images


class Generator(Protocol):
    """A recipe for painting one image: `build(query, rng)(draw(query, rng))` has the query's shape and lies in [0, 1].

    Each image of a batch gets a network of its own, since normalisation and shared weights would couple them.
    """

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """A fresh network for one query; only its parameters are optimised.

        A network may have a method `coarse_to_fine()` that returns its parameters in groups, those that paint the
        coarsest structure first; `Stage.unlock` sets them free in this order.
        """
        ...

    def draw(self, query: Images, rng: torch.Generator) -> Tensor:
        """The fixed input z."""
        ...
