"""The U-Net of the inpainting figure in Ulyanov et al. 2018: instance normalisation, transposed convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfexplain.generators.generator import NetworkGenerator, to_image
from cfexplain.generators.noise import Noise
from cfexplain.types import Images


@dataclass(frozen=True)
class TransposedUNet(NetworkGenerator):
    """At each scale twice Conv3x3 - IN - ReLU on the way down, twice Conv3x3 - ReLU on the way up, zero padding.

    Down by max pooling, up by transposed convolutions (4 x 4, stride 2); the encoder's maps are concatenated whole.

    Attributes:
        widths: channels of each scale, shallow to deep.
        noise: the input z.

    Shape:
        z of shape (1, noise channels, h, w) to an image of the query's shape.

    Source: Ulyanov et al. 2018, inpainting of large holes (figure 8), and the released `unet.py` with feature scale 8
    and one more layer: the default widths. Adam at 1e-3. Deviation: sizes that are no power of two are padded by
    zeros on the way up, where the released code crops the encoder's map.

    Example:
        >>> network = TransposedUNet((4, 8)).build(torch.zeros(1, 3, 16, 16), torch.Generator().manual_seed(0))
        >>> network(torch.zeros(1, 1, 16, 16)).shape
        torch.Size([1, 3, 16, 16])
    """

    widths: tuple[int, ...] = (8, 16, 32, 64, 128, 128)
    noise: Noise = Noise(channels=1)

    def network(self, query: Images) -> nn.Module:
        """The network for one query; a small image gets fewer scales."""
        scales = max(1, min(len(self.widths), min(query.shape[-2:]).bit_length() - 1))
        return TransposedUNetwork(self.noise.channels, self.widths[:scales], query.shape[1])


class TransposedUNetwork(nn.Module):
    """The network of a `TransposedUNet`."""

    def __init__(self, channels: int, widths: tuple[int, ...], out: int) -> None:
        super().__init__()
        entering, rising = (channels, *widths[:-1]), list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.encoder = nn.ModuleList(_double(c, w, normalised=True) for c, w in zip(entering, widths, strict=True))
        self.growing = nn.ModuleList(nn.ConvTranspose2d(below, here, 4, 2, 1) for below, here in rising)
        self.decoder = nn.ModuleList(_double(2 * here, here, normalised=False) for _, here in rising)
        self.tail = nn.Conv2d(widths[0], out, 1)

    def forward(self, z: Tensor) -> Tensor:
        """The image for z."""
        maps = [self.encoder[0](z)]
        for level in list(self.encoder)[1:]:
            maps.append(level(F.max_pool2d(maps[-1], 2)))
        x = maps.pop()
        for grow, level in zip(self.growing, self.decoder, strict=True):
            x = level(torch.cat([_fitted(grow(x), maps[-1]), maps.pop()], dim=1))
        return to_image(self.tail, x)


def _double(channels: int, width: int, *, normalised: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for entering in (channels, width):
        norm = [nn.InstanceNorm2d(width)] if normalised else []
        layers += [nn.Conv2d(entering, width, 3, padding=1), *norm, nn.ReLU()]
    return nn.Sequential(*layers)


def _fitted(grown: Tensor, beside: Tensor) -> Tensor:
    """The same with the row and the column that pooling an odd size has lost."""
    return F.pad(grown, (0, beside.shape[-1] - grown.shape[-1], 0, beside.shape[-2] - grown.shape[-2]))
