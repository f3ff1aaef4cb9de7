"""What a generator is: a frozen recipe that builds a network and draws its input."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from cfexplain.generators.noise import Noise, seeded
from cfexplain.images import precise
from cfexplain.types import Images


class Generator(Protocol):
    """A recipe: `build(query, rng)(draw(query, rng))` has the query's shape and lies in [0, 1].

    Each image of a batch gets a network of its own, since normalisation and shared weights would couple the images.
    """

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """A fresh network for one query; only its parameters are optimised.

        A network may have a method `coarse_to_fine()` that returns its parameters in groups, those of the coarsest
        structure first; `Stage.unlock` frees them in this order.
        """
        ...

    def draw(self, query: Images, rng: torch.Generator) -> Tensor:
        """The fixed input z."""
        ...


class NetworkGenerator:
    """Base of the recipes whose network is initialised from the seed and whose input is `Noise`."""

    noise: Noise

    def network(self, query: Images) -> nn.Module:
        """The network for one query, initialised by torch's global generator, which `build` seeds."""
        raise NotImplementedError

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """A fresh network for one query, its weights drawn from `rng`."""
        with seeded(rng):
            network = self.network(query)
        return network.to(query.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def draw(self, query: Images, rng: torch.Generator) -> Tensor:
        """The input z of `build`'s network."""
        return self.noise.draw(query, rng)


def to_image(tail: nn.Module, x: Tensor) -> Tensor:
    """sigmoid(tail(x)) in float32: the eight bits of bfloat16's mantissa are too few for an image."""
    with torch.autocast(x.device.type, enabled=False):
        return torch.sigmoid(tail(precise(x)))
