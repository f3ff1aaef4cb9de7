"""The Deep Decoder: a prior with fewer weights than the image has values, which cannot fit noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cfexplain.generators.generator import NetworkGenerator, to_image
from cfexplain.generators.noise import Noise
from cfexplain.types import Images


@dataclass(frozen=True)
class DeepDecoder(NetworkGenerator):
    """`scales` layers Conv1x1 - Upsample x2 - ReLU - BN and one without upsampling; the tail is Conv1x1 - sigmoid.

    Convolutions have no bias; the only coupling of pixels is the bilinear upsampling. A size that is no multiple of
    2^scales is generated larger and cropped centrally.

    Attributes:
        width: channels of all layers.
        scales: doublings of the size.
        noise: the input z, at 2^-scales of the size; its channels are always `width`.

    Shape:
        z of shape (1, width, h / 2^scales, w / 2^scales) to an image of the query's shape.

    Source: Heckel and Hand, "Deep Decoder", ICLR 2019, and the released `decodernw`: widths 32, 64, 128 have 6,624,
    25,536 and 100,224 parameters for three colours; Adam at 0.01. Deviation: BN keeps no running statistics.

    Example:
        >>> network = DeepDecoder(width=64).build(torch.zeros(1, 3, 64, 64), torch.Generator().manual_seed(0))
        >>> sum(p.numel() for p in network.parameters())
        25536
    """

    width: int = 128
    scales: int = 5
    noise: Noise = Noise(channels=128, low=0.0, high=0.1)

    def network(self, query: Images) -> nn.Module:
        """The network for one query."""
        return Decoder(self.width, self._fitting(query), query.shape[1], query.shape[-2:])

    def draw(self, query: Images, rng: torch.Generator) -> Float[Tensor, "1 c y x"]:
        """The small input z."""
        step = 2 ** self._fitting(query)
        height, width = (-(-side // step) for side in query.shape[-2:])
        small = query.new_zeros(1, query.shape[1], height, width)
        return replace(self.noise, channels=self.width).draw(small, rng)

    def _fitting(self, query: Images) -> int:
        """Scales at which a small image's input still has two pixels a side."""
        return max(1, min(self.scales, (min(query.shape[-2:]) - 1).bit_length() - 1))


class Decoder(nn.Module):
    """The network of a `DeepDecoder`."""

    def __init__(self, width: int, scales: int, channels: int, size: torch.Size) -> None:
        super().__init__()
        self.size = size
        self.mixing = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in range(scales + 1))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, track_running_stats=False) for _ in range(scales + 1))
        self.tail = nn.Conv2d(width, channels, 1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """The image for z."""
        x, last = z, len(self.mixing) - 1
        for k, (mix, norm) in enumerate(zip(self.mixing, self.norms, strict=True)):
            x = mix(x)
            if k < last:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = norm(F.relu(x))
        return to_image(self.tail, self._cropped(x))

    def _cropped(self, x: Tensor) -> Tensor:
        top, left = (x.shape[-2] - self.size[0]) // 2, (x.shape[-1] - self.size[1]) // 2
        cropped = x[..., top : top + self.size[0], left : left + self.size[1]]
        return cropped.contiguous()  # of others vmap gives the last layer a wrong gradient (torch 2.15, CPU)
