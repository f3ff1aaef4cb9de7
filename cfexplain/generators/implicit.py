"""Implicit networks: an image as a function from a pixel's coordinates to its colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cfexplain.generators.noise import Noise, seeded
from cfexplain.images import precise
from cfexplain.types import Images

COORDINATES = Noise(channels=2, kind="coordinates")


@dataclass(frozen=True)
class FourierNetwork:
    """Colour = sigmoid(MLP(gamma(v))), gamma(v) = [sin 2 pi B v, cos 2 pi B v], of a pixel's coordinates v in [0, 1]^2.

    The entries of B are drawn once from N(0, s^2) and not trained; the MLP has rectifiers.

    Attributes:
        scale: s, in cycles per image side: small paints smoothly, large paints fine detail and noise.
        frequencies: rows of B; gamma has twice as many values.
        width: units of each hidden layer.
        layers: hidden layers.

    Shape:
        paints from coordinates of shape (1, 2, h, w) an image of the query's shape.

    Source: Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional
    Domains", NeurIPS 2020 (256 frequencies, 256 units, s = 10, Adam 1e-4 for 2,000 steps of 512 pixels a side).
    The sizes and s are ours, for time: with Adam at 3e-3, one synthetic and two real lesions pass 30 dB after
    75, 57 and 15 steps at 64 pixels a side and 99, 58 and 15 at 128; 1e-3 takes up to twice the steps.

    Example:
        >>> painter = FourierNetwork().build(torch.zeros(1, 3, 8, 8), torch.Generator().manual_seed(0))
        >>> painter(FourierNetwork().draw(torch.zeros(1, 3, 8, 8), torch.Generator())).shape
        torch.Size([1, 3, 8, 8])
    """

    scale: float = 6.0
    frequencies: int = 128
    width: int = 128
    layers: int = 3

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """A fresh network for one query, its frequencies and weights drawn from `rng`."""
        with seeded(rng):
            widths = (2 * self.frequencies, *(self.width,) * self.layers)
            hidden = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths)]
            features = FourierFeatures(self.frequencies, self.scale)
            network = Painter(nn.Sequential(features, *hidden), nn.Linear(widths[-1], query.shape[1]))
        return network.to(query.device)

    def draw(self, query: Images, rng: torch.Generator) -> Float[Tensor, "1 2 h w"]:
        """The coordinates (y, x) of the query's pixels, in [0, 1]."""
        return COORDINATES.draw(query, rng)


@dataclass(frozen=True)
class Siren:
    """Colour = sigmoid(W h_n + b), h_k = sin(30 (W_k h_(k-1) + b_k)), h_0 a pixel's coordinates in [-1, 1]^2.

    Weights start uniform in +-1/2 in the first layer (1/inputs), in +-sqrt(6 / inputs) / 30 after it, so that
    30 W h starts with unit variance in every layer.

    Attributes:
        frequency: the factor inside the sines.
        width: units of each hidden layer.
        layers: hidden layers of sines.

    Shape:
        paints from coordinates of shape (1, 2, h, w) an image of the query's shape.

    Source: Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions", NeurIPS 2020,
    section 3.2 (256 units, Adam 1e-4). Deviation: the sigmoid at the end. The sizes are ours, for time: with
    Adam at 1e-3, one synthetic and two real lesions pass 30 dB after 34, 29 and 16 steps at 64 pixels a side and
    49, 28 and 17 at 128; 3e-3 is too fast (one of the three stays below 29 dB after 200 steps).
    That is for pixels alone: with features in the objective 1e-3 falls apart (15 to 29 dB), 3e-4 holds 31.
    """

    frequency: float = 30.0
    width: int = 128
    layers: int = 4

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """A fresh network for one query, its weights drawn from `rng`."""
        with seeded(rng):
            first = Sine(2, self.width, self.frequency, first=True)
            deeper = [Sine(self.width, self.width, self.frequency) for _ in range(self.layers - 1)]
            tail = nn.Linear(self.width, query.shape[1])
            _spread(tail, math.sqrt(6 / self.width) / self.frequency)
        return Painter(nn.Sequential(Centred(), first, *deeper), tail).to(query.device)

    def draw(self, query: Images, rng: torch.Generator) -> Float[Tensor, "1 2 h w"]:
        """The coordinates (y, x) of the query's pixels, in [0, 1]; the network centres them."""
        return COORDINATES.draw(query, rng)


class Painter(nn.Module):
    """Hidden layers and a last one, applied to every pixel by itself."""

    def __init__(self, hidden: nn.Sequential, tail: nn.Linear) -> None:
        super().__init__()
        self.hidden, self.tail = hidden, tail

    def forward(self, z: Tensor) -> Tensor:
        """Paint; the last layer runs in float32, for eight bits of mantissa are too few for an image."""
        seen = self.hidden(z.movedim(1, -1))
        with torch.autocast(z.device.type, enabled=False):
            return torch.sigmoid(self.tail(precise(seen))).movedim(-1, 1)

    def coarse_to_fine(self) -> list[list[nn.Parameter]]:
        """Parameters by layer, from the coordinates on; the last layer moves with the first."""
        groups = [list(layer.parameters()) for layer in self.hidden]
        groups = [group for group in groups if group]
        return [groups[0] + list(self.tail.parameters()), *groups[1:]]


class FourierFeatures(nn.Module):
    """From v to [sin 2 pi B v, cos 2 pi B v]; B is a buffer, so that it travels with the weights."""

    def __init__(self, frequencies: int, scale: float) -> None:
        super().__init__()
        self.matrix: Tensor
        self.register_buffer("matrix", scale * torch.randn(frequencies, 2))

    def forward(self, v: Tensor) -> Tensor:
        """Features in the last dimension."""
        turned = 2 * torch.pi * (v @ self.matrix.T)
        return torch.cat([turned.sin(), turned.cos()], dim=-1)


class Sine(nn.Module):
    """One layer sin(frequency (W x + b))."""

    def __init__(self, inputs: int, width: int, frequency: float, *, first: bool = False) -> None:
        super().__init__()
        self.linear, self.frequency = nn.Linear(inputs, width), frequency
        _spread(self.linear, 1 / inputs if first else math.sqrt(6 / inputs) / frequency)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's values."""
        return torch.sin(self.frequency * self.linear(x))


class Centred(nn.Module):
    """From [0, 1] to [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """Shifted and doubled."""
        return 2 * x - 1


def _spread(linear: nn.Linear, bound: float) -> None:
    """Weights uniform in +-bound; biases keep PyTorch's start, as in the released code."""
    nn.init.uniform_(linear.weight, -bound, bound)
