"""The deep image prior: an untrained skip hourglass whose structure alone prefers natural images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfexplain.generators.doubling import Upsampling, doubled
from cfexplain.generators.generator import NetworkGenerator, to_image
from cfexplain.generators.noise import Noise
from cfexplain.generators.stacked import convolved, normalised
from cfexplain.types import Images

Downsampling = Literal["stride", "average", "max"]
Padding = Literal["reflect", "zeros", "replicate"]
Gains = Literal["ones", "uniform"]
_PAD = {"reflect": "reflect", "zeros": "constant", "replicate": "replicate"}
"""The names that `torch.nn.functional.pad` has for them."""


@dataclass(frozen=True)
class DeepImagePrior(NetworkGenerator):
    """Skip hourglass f_theta(z) of Ulyanov et al.; its weights alone determine the image.

    At scale i: a skip branch Conv1x1 - BN - LReLU, and a deeper branch Conv(stride 2) - BN - LReLU - Conv -
    BN - LReLU - [next scale] - Upsample; both are concatenated - BN - Conv - BN - LReLU - [Conv1x1 - BN -
    LReLU]. The tail is Conv1x1 - sigmoid. BN always uses the statistics of the one image.

    Attributes:
        widths: channels of each scale, shallow to deep, on the way down (and up).
        skips: channels of each skip branch; 0 leaves it out.
        kernel_down: kernel size of each scale on the way down, or one for all.
        kernel_up: on the way up.
        upsampling: how a deeper scale is brought to the size above, one for all or one a scale.
        downsampling: how the size is halved.
        padding: at the border.
        pointwise: with the 1x1 convolution that ends each scale.
        noise: the input z.
        gains: the scales that normalisation begins with, 1 or drawn from U(0, 1). Until version 1.2 (2019) torch drew
            them, and the released code leaves it to torch, so the published numbers are of drawn ones. The other
            networks of this package begin at 1.

    Shape:
        z of shape (1, noise channels, h, w) to an image of the query's shape.

    Source: Ulyanov, Vedaldi, Lempitsky, "Deep Image Prior", CVPR 2018, and its released networks. The defaults
    are the published denoising network, 2,217,831 parameters. Deviation: BN keeps no running statistics (the
    published code never uses them).

    Example:
        >>> network = DeepImagePrior().build(torch.zeros(1, 3, 64, 64), torch.Generator().manual_seed(0))
        >>> sum(p.numel() for p in network.parameters())
        2217831
    """

    widths: tuple[int, ...] = (128, 128, 128, 128, 128)
    skips: tuple[int, ...] = (4, 4, 4, 4, 4)
    kernel_down: int | tuple[int, ...] = 3
    kernel_up: int | tuple[int, ...] = 3
    upsampling: Upsampling | tuple[Upsampling, ...] = "bilinear"
    downsampling: Downsampling = "stride"
    padding: Padding = "reflect"
    pointwise: bool = True
    noise: Noise = Noise(channels=32, low=0.0, high=0.1)
    gains: Gains = "uniform"

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.skips):
            raise ValueError(f"give one skip width a scale: {len(self.widths)} widths, {len(self.skips)} skips")
        if self.gains not in ("ones", "uniform"):
            raise ValueError(f"gains are ones or uniform, not {self.gains}")

    def network(self, query: Images) -> nn.Module:
        """The network for one query; a small image gets fewer scales."""
        return Hourglass(self._fitting(query), query.shape[1])

    def fits(self, query: Images) -> bool:
        """Whether the query is large enough for all scales and has three colours."""
        return self._fitting(query) == self and query.shape[1] == 3

    def _fitting(self, query: Images) -> DeepImagePrior:
        """The same without the scales at which a small image would be smaller than its border, or a single pixel."""
        kernels = (self.kernel_down, self.kernel_up)
        border = max(max(k) if isinstance(k, tuple) else k for k in kernels) // 2
        side, scales = min(query.shape[-2:]), len(self.widths)
        while scales > 1 and math.ceil(side / 2**scales) <= max(1, border):
            scales -= 1
        return replace(self, widths=self.widths[:scales], skips=self.skips[:scales])


class Hourglass(nn.Module):
    """The network of a `DeepImagePrior`; input and output may be of any size."""

    def __init__(self, recipe: DeepImagePrior, channels: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.scales = Scale(recipe, 0, recipe.noise.channels)
        self.tail = Convolution(recipe.widths[0], channels, 1, recipe.padding)
        for module in self.modules() if recipe.gains == "uniform" else ():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight)

    def forward(self, z: Tensor) -> Tensor:
        """The image for z."""
        return to_image(self.tail, self.scales(z))

    def coarse_to_fine(self) -> list[list[nn.Parameter]]:
        """Parameters by scale: the two deepest together, then each above them, the last with the tail."""
        scales = [m for m in self.modules() if isinstance(m, Scale)]
        deeper: list[set[nn.Parameter]] = [set() if m.deeper is None else set(m.deeper.parameters()) for m in scales]
        own = [[p for p in m.parameters() if p not in inner] for m, inner in zip(scales, deeper, strict=True)]
        own[0] += list(self.tail.parameters())
        own.reverse()
        return [[p for scale in own[:2] for p in scale], *own[2:]]


class Scale(nn.Module):
    """One scale and, inside its deeper branch, all those below it."""

    def __init__(self, recipe: DeepImagePrior, index: int, channels: int) -> None:
        super().__init__()
        width, skip = recipe.widths[index], recipe.skips[index]
        down, up = _at(recipe.kernel_down, index), _at(recipe.kernel_up, index)
        last = index == len(recipe.widths) - 1
        self.upsampling: Upsampling = _at(recipe.upsampling, index)
        self.skip = Block(channels, skip, 1, recipe.padding) if skip else None
        self.down = Block(channels, width, down, recipe.padding, downsampling=recipe.downsampling)
        self.within = Block(width, width, down, recipe.padding)
        self.deeper = None if last else Scale(recipe, index + 1, width)
        below = width if last else recipe.widths[index + 1]
        self.norm = Normalisation(skip + below)
        self.up = Block(skip + below, width, up, recipe.padding)
        self.pointwise = Block(width, width, 1, recipe.padding) if recipe.pointwise else None

    def forward(self, x: Tensor) -> Tensor:
        """From the size above to the size above."""
        below = self.within(self.down(x))
        if self.deeper is not None:
            below = self.deeper(below)
        grown = _resize(below, x.shape[-2:], self.upsampling)
        joined = grown if self.skip is None else torch.cat([self.skip(x), grown], dim=1)
        out: Tensor = self.up(self.norm(joined))
        return out if self.pointwise is None else self.pointwise(out)


class Block(nn.Module):
    """Convolution, normalisation, leaky rectifier."""

    def __init__(
        self, channels: int, width: int, kernel: int, padding: Padding, *, downsampling: Downsampling | None = None
    ) -> None:
        super().__init__()
        self.convolution = Convolution(channels, width, kernel, padding, 2 if downsampling == "stride" else 1)
        self.norm = Normalisation(width)
        self.pooling = downsampling if downsampling in ("average", "max") else None

    def forward(self, x: Tensor) -> Tensor:
        """Filter, halve where asked, normalise, rectify."""
        x = self.convolution(x)
        if self.pooling is not None:
            x = _halved(x, self.pooling)
        return F.leaky_relu(self.norm(x), 0.2)


class Convolution(nn.Conv2d):
    """A convolution that keeps the size (before its stride) by the named padding.

    Attributes:
        stacked: one of many under vmap (`Stack`).
    """

    stacked = False

    def __init__(self, channels: int, width: int, kernel: int, padding: Padding, stride: int = 1) -> None:
        super().__init__(channels, width, kernel, stride, kernel // 2, padding_mode=padding)

    def forward(self, x: Tensor) -> Tensor:
        """As torch's own; in bfloat16 the padding is too, where autocast on a CPU would go by way of float32."""
        device, weight, bias = x.device.type, self.weight, self.bias
        if torch.is_autocast_enabled(device) and x.dtype != torch.float64:  # by hand: under vmap autocast is not heard
            half = torch.get_autocast_dtype(device)
            x, weight, bias = x.to(half), weight.to(half), None if bias is None else bias.to(half)
        pointwise = self.kernel_size == (1, 1) and self.stride == (1, 1)
        if pointwise and not self.stacked:
            return F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
        with torch.autocast(device, enabled=False):
            x = x if pointwise else F.pad(x, (self.kernel_size[0] // 2,) * 4, mode=_PAD[self.padding_mode])
            return (convolved if self.stacked else F.conv2d)(x, weight, bias, self.stride)


class Normalisation(nn.BatchNorm2d):
    """Batch normalisation that always uses the statistics of the one image.

    Attributes:
        stacked: one of many under vmap (`Stack`).
    """

    stacked = False

    def __init__(self, width: int) -> None:
        super().__init__(width, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        """As torch's own; of a batch, each image by itself."""
        if self.stacked:
            return normalised(x, self.weight, self.bias, self.eps)
        return (
            super().forward(x) if len(x) == 1 else F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        )


def _at(value: Any, index: int) -> Any:
    """The value of a scale, from one for all or one a scale."""
    return value[index] if isinstance(value, tuple) else value


def _halved(x: Tensor, pooling: str) -> Tensor:
    """Half the size, rounded up as a stride does."""
    if pooling == "max":
        return F.max_pool2d(x, 2, ceil_mode=True)
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def _resize(x: Tensor, size: torch.Size, mode: Upsampling) -> Tensor:
    """Twice the size, cropped centrally to the size above where that is odd."""
    grown = doubled(x, mode)
    top, left = (grown.shape[-2] - size[0]) // 2, (grown.shape[-1] - size[1]) // 2
    return grown[..., top : top + size[0], left : left + size[1]]
