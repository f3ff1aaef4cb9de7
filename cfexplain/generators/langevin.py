"""Stochastic gradient Langevin dynamics: noise on the weights of another generator."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cfexplain.generators.dip import DeepImagePrior
from cfexplain.generators.generator import Generator
from cfexplain.types import Images


@dataclass(frozen=True)
class Langevin:
    """Another generator whose convolutions receive noise before every forward pass: w <- w + N(0, deviation^2).

    Together with gradient steps this samples weights around an optimum instead of converging to it, so that the mean
    of late outputs does not fit the noise of the query; the stop rule `Sampled` returns that mean.

    Attributes:
        generator: the other generator.
        deviation: standard deviation of the noise; the source takes twice the learning rate.

    Shape:
        that of the other generator.

    Source: Cheng et al., "A Bayesian Perspective on the Deep Image Prior", CVPR 2019, and its released code: Adam at
    0.01, noise of 0.02 on the convolutions' weights after each step, burn-in of 7,000 steps, mean to 20,000. Deviation:
    without their weight decay of 5e-8; the first output is disturbed too.

    Example:
        >>> generator, rng = Langevin(DeepImagePrior(widths=(4, 4), skips=(2, 2))), torch.Generator().manual_seed(0)
        >>> generator.build(torch.zeros(1, 3, 16, 16), rng)(torch.zeros(1, 32, 16, 16)).shape
        torch.Size([1, 3, 16, 16])
    """

    generator: Generator = field(default_factory=DeepImagePrior)
    deviation: float = 0.02

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """The network with noise from a random generator that `rng` seeds."""
        network = self.generator.build(query, rng)
        seed = int(torch.randint(2**62, (), generator=rng))
        return SGLDNoise(network, self.deviation, torch.Generator(query.device).manual_seed(seed))

    def draw(self, query: Images, rng: torch.Generator) -> Tensor:
        """The other generator's input."""
        return self.generator.draw(query, rng)


class SGLDNoise(nn.Module):
    """Adds noise to the weights of a network's convolutions before each call.

    Attributes:
        stochastic: it draws random numbers when called, so it can neither be stacked nor recorded.
    """

    stochastic = True

    def __init__(self, network: nn.Module, deviation: float, rng: torch.Generator) -> None:
        super().__init__()
        self.network, self.deviation, self.rng = network, deviation, rng

    def forward(self, z: Tensor) -> Tensor:
        """Add noise to the weights, then generate."""
        with torch.no_grad():
            for weights in self.network.parameters():
                if weights.ndim == 4:
                    noise = torch.randn(weights.shape, generator=self.rng, device=self.rng.device).to(weights)
                    weights.add_(noise, alpha=self.deviation)
        image: Tensor = self.network(z)
        return image
