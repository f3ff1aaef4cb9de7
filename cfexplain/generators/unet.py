"""The U-Net of the method figure in Narayanaswamy et al. 2021."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfexplain.generators.dip import Block, Convolution
from cfexplain.generators.generator import NetworkGenerator, to_image
from cfexplain.generators.noise import Noise
from cfexplain.types import Images


@dataclass(frozen=True)
class UNet(NetworkGenerator):
    """Encoder-decoder with concatenated skips and 3 channels of U(-1, 1) noise as its input.

    At each scale two blocks Conv3x3 - BN - LReLU; down by max pooling, up bilinearly; the encoder's map of the
    same size is concatenated whole (unlike the hourglass, whose skips are narrow). The tail is Conv1x1 - sigmoid.

    Attributes:
        widths: channels of each scale, shallow to deep.
        noise: the input z; 3 channels of U(-1, 1) at the image's size.

    Shape:
        z of shape (1, 3, h, w) to an image of the query's shape.

    Source: Narayanaswamy, Thiagarajan and Spanias, ICASSP 2021, figure 1 (a U-Net with several skip links,
    64 x 64 x 3 noise of U(-1, 1)); widths, normalisation and upsampling are not given there: ours.
    """

    widths: tuple[int, ...] = (32, 64, 128, 128)
    noise: Noise = Noise(channels=3, low=-1.0, high=1.0)

    def network(self, query: Images) -> nn.Module:
        """The network for one query."""
        return UNetwork(self.noise.channels, self.widths, query.shape[1])


class UNetwork(nn.Module):
    """The network of a `UNet`; sizes need not be powers of two."""

    def __init__(self, channels: int, widths: tuple[int, ...], out: int) -> None:
        super().__init__()
        entering = (channels, *widths[:-1])
        self.encoder = nn.ModuleList(_double(c, w) for c, w in zip(entering, widths, strict=True))
        rising = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.decoder = nn.ModuleList(_double(below + beside, beside) for below, beside in rising)
        self.tail = Convolution(widths[0], out, 1, "zeros")

    def forward(self, z: Tensor) -> Tensor:
        """The image for z."""
        maps = [self.encoder[0](z)]
        for level in list(self.encoder)[1:]:
            maps.append(level(F.max_pool2d(maps[-1], 2, ceil_mode=True)))
        x = maps.pop()
        for level in self.decoder:
            beside = maps.pop()
            grown = F.interpolate(x, beside.shape[-2:], mode="bilinear", align_corners=False)
            x = level(torch.cat([grown, beside], dim=1))
        return to_image(self.tail, x)


def _double(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(Block(channels, width, 3, "reflect"), Block(width, width, 3, "reflect"))
