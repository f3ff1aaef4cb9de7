"""A residual network without change of scale: the prior that the founding paper finds wanting in large holes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cfexplain.generators.dip import Convolution
from cfexplain.generators.noise import Noise, seeded
from cfexplain.images import precise
from cfexplain.types import Images


@dataclass(frozen=True)
class ResNet:
    """Conv3x3 - LReLU - blocks x + (Conv3x3 - BN - LReLU - Conv3x3 - BN)(x) - Conv3x3 - BN - Conv3x3 - sigmoid.

    All at the image's size: what is far away is seen only through depth.

    Attributes:
        blocks: residual blocks.
        width: channels of each.
        noise: the input z.

    Shape:
        paints from z of shape (1, noise channels, h, w) an image of the query's shape.

    Source: Ulyanov et al. 2018, inpainting of large holes (figure 8), and the released `resnet.py`: 8 blocks of 32
    channels, one channel of noise, Adam at 1e-3. Deviation: BN keeps no running statistics.

    Example:
        >>> network = ResNet(blocks=2, width=8).build(torch.zeros(1, 3, 16, 16), torch.Generator().manual_seed(0))
        >>> network(torch.zeros(1, 1, 16, 16)).shape
        torch.Size([1, 3, 16, 16])
    """

    blocks: int = 8
    width: int = 32
    noise: Noise = Noise(channels=1)

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """A fresh network for one query."""
        with seeded(rng):
            network = ResidualNetwork(self, query.shape[1])
        return network.to(query.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def draw(self, query: Images, rng: torch.Generator) -> Float[Tensor, "1 c h w"]:
        """The input that the network paints from."""
        return self.noise.draw(query, rng)


class ResidualNetwork(nn.Module):
    """The network of a `ResNet`."""

    def __init__(self, recipe: ResNet, channels: int) -> None:
        super().__init__()
        width = recipe.width
        self.head = Convolution(recipe.noise.channels, width, 3, "reflect")
        self.blocks = nn.ModuleList(_block(width) for _ in range(recipe.blocks))
        self.gather = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), _norm(width))
        self.tail = Convolution(width, channels, 3, "reflect")

    def forward(self, z: Tensor) -> Tensor:
        """Paint; the last layer runs in float32."""
        x = F.leaky_relu(self.head(z), 0.2)
        for block in self.blocks:
            x = x + block(x)
        gathered = self.gather(x)
        with torch.autocast(z.device.type, enabled=False):
            return torch.sigmoid(self.tail(precise(gathered)))


def _block(width: int) -> nn.Sequential:
    """What a block adds to its input."""
    first, second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
    return nn.Sequential(first, _norm(width), nn.LeakyReLU(0.2), second, _norm(width))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, track_running_stats=False)
