"""Implicit networks: an image as a function from a pixel's coordinates to its colour."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from cfexplain.generators.generator import NetworkGenerator, to_image
from cfexplain.generators.noise import Noise
from cfexplain.types import Images


@dataclass(frozen=True)
class FourierNetwork(NetworkGenerator):
    """Colour = sigmoid(MLP(gamma(v))), gamma(v) = [sin 2 pi B v, cos 2 pi B v], of a pixel's coordinates v in [0, 1]^2.

    The entries of B are drawn once from N(0, s^2) and not trained; the MLP has rectifiers.

    Attributes:
        scale: s, in cycles per image side: a small one gives smooth images, a large one fine detail and noise.
        frequencies: rows of B; gamma has twice as many values.
        width: units of each hidden layer.
        layers: hidden layers.
        noise: the input z, the coordinates.

    Shape:
        coordinates (y, x) in [0, 1] of shape (1, 2, h, w) to an image of the query's shape.

    Source: Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional
    Domains", NeurIPS 2020 (256 frequencies, 256 units, s = 10, Adam 1e-4 for 2,000 steps of 512 pixels a side).
    The sizes and s are ours, for time: with Adam at 3e-3, one synthetic and two real lesions pass 30 dB after
    75, 57 and 15 steps at 64 pixels a side and 99, 58 and 15 at 128; 1e-3 takes up to twice the steps.

    Example:
        >>> network = FourierNetwork().build(torch.zeros(1, 3, 8, 8), torch.Generator().manual_seed(0))
        >>> network(FourierNetwork().draw(torch.zeros(1, 3, 8, 8), torch.Generator())).shape
        torch.Size([1, 3, 8, 8])
    """

    scale: float = 6.0
    frequencies: int = 128
    width: int = 128
    layers: int = 3
    noise: Noise = Noise(channels=2, kind="coordinates")

    def network(self, query: Images) -> nn.Module:
        """The network for one query, frequencies included."""
        widths = (2 * self.frequencies, *(self.width,) * self.layers)
        hidden = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths)]
        features = FourierFeatures(self.frequencies, self.scale)
        return PixelwiseNetwork(nn.Sequential(features, *hidden), nn.Linear(widths[-1], query.shape[1]))


class PixelwiseNetwork(nn.Module):
    """Hidden layers and a last one, applied to every pixel by itself."""

    def __init__(self, hidden: nn.Sequential, tail: nn.Linear) -> None:
        super().__init__()
        self.hidden, self.tail = hidden, tail

    def forward(self, z: Tensor) -> Tensor:
        """The image at coordinates z."""
        return to_image(self.tail, self.hidden(z.movedim(1, -1))).movedim(-1, 1)

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
