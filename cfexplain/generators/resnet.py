"""A residual network at one scale: the prior that Ulyanov et al. 2018 find too local for large holes."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from cfexplain.generators.dip import Convolution
from cfexplain.generators.generator import NetworkGenerator, to_image
from cfexplain.generators.noise import Noise
from cfexplain.types import Images


@dataclass(frozen=True)
class ResNet(NetworkGenerator):
    """Conv3x3 - LReLU - blocks x + (Conv3x3 - BN - LReLU - Conv3x3 - BN)(x) - Conv3x3 - BN - Conv3x3 - sigmoid.

    All at the image's size: distant pixels are connected only through depth.

    Attributes:
        blocks: residual blocks.
        width: channels of each.
        noise: the input z.

    Shape:
        z of shape (1, noise channels, h, w) to an image of the query's shape.

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

    def network(self, query: Images) -> nn.Module:
        """The network for one query."""
        return ResidualNetwork(self, query.shape[1])


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
        """The image for z."""
        x = F.leaky_relu(self.head(z), 0.2)
        for block in self.blocks:
            x = x + block(x)
        return to_image(self.tail, self.gather(x))


def _block(width: int) -> nn.Sequential:
    """What a block adds to its input."""
    first, second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
    return nn.Sequential(first, _norm(width), nn.LeakyReLU(0.2), second, _norm(width))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, track_running_stats=False)
