"""Random views of an image: what stays the same lesion to a person should stay the same to the classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cfexplain.types import Images, Prediction


@dataclass(frozen=True)
class Views:
    """Small random changes of viewpoint, light and sharpness, through which gradients flow.

    An edit that only holds in one view is noise aimed at the classifier; one that holds in all is seen by others.

    Attributes:
        count: views of each image, drawn anew at every step.
        rotation: at most, in degrees, either way.
        scale: smallest and largest magnification.
        shift: at most, as a share of the side, either way.
        flip: mirror half of the views.
        noise: largest standard deviation of pixel noise (intensity); each view draws its own.
        blur: largest standard deviation of a Gaussian blur, as a share of the side; each view draws its own.
        colour: largest relative gain of each channel, either way; each view draws its own three.

    Source: expectation over transformations, Athalye et al. 2018; the ranges are ours, set on
    8 validation lesions; experiments/natural.py compares the default with no views.

    Example:
        >>> Views(count=3).draw(torch.rand(2, 3, 16, 16), torch.Generator().manual_seed(0)).shape
        torch.Size([6, 3, 16, 16])
    """

    count: int = 2
    rotation: float = 180.0
    scale: tuple[float, float] = (0.7, 1.2)
    shift: float = 0.08
    flip: bool = True
    noise: float = 0.15
    blur: float = 0.023
    colour: float = 0.25

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")

    def draw(self, images: Images, rng: torch.Generator) -> Images:
        """Views of a batch, shape (count * n, 3, h, w): the first view of all images, then the second, and so on."""
        repeated = images.repeat(self.count, 1, 1, 1)
        return self._tone(self._sharpness(self._viewpoint(repeated, rng), rng), rng).clamp(0, 1)

    def _viewpoint(self, images: Images, rng: torch.Generator) -> Images:
        n = len(images)
        angle = math.radians(self.rotation) * _signed(rng, n)
        zoom = torch.empty(n).uniform_(*self.scale, generator=rng)
        mirror = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0) if self.flip else torch.ones(n)
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        moved = 2 * self.shift * _signed(rng, n, 2)
        affine = torch.stack([cos * mirror, -sin, moved[:, 0], sin * mirror, cos, moved[:, 1]], 1).view(n, 2, 3)
        grid = F.affine_grid(affine.to(images), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    def _sharpness(self, images: Images, rng: torch.Generator) -> Images:
        if self.blur == 0:
            return images
        largest = self.blur * images.shape[-1]
        sigma = (torch.rand(len(images), 1, generator=rng) * largest).clamp_min(0.05)
        reach = max(1, math.ceil(2 * largest))
        taps = (-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2)).exp()
        taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(3, 0).to(images)
        return _filtered(_filtered(images, taps[:, None, :, None]), taps[:, None, None, :])

    def _tone(self, images: Images, rng: torch.Generator) -> Images:
        n = len(images)
        gain = 1 + self.colour * _signed(rng, n, 3, 1, 1).to(images)
        sigma = self.noise * torch.rand(n, 1, 1, 1, generator=rng)
        return images * gain + (sigma * torch.randn(images.shape, generator=rng)).to(images)


def split(prediction: Prediction, n: int) -> tuple[Prediction, Prediction]:
    """The prediction of the first n images, and that of the rest."""
    loss = prediction.loss
    parts = tuple(
        Prediction(prediction.logits[s], tuple(f[s] for f in prediction.features), None if loss is None else loss[s])
        for s in (slice(None, n), slice(n, None))
    )
    return parts[0], parts[1]


def mean_over_views(value: Tensor, views: Tensor | None) -> Tensor:
    """Mean over an image (value, shape (n,)) and its views (shape (count * n,)), each of equal weight."""
    if views is None:
        return value
    return torch.cat([value, views]).view(-1, len(value)).mean(0)


def _signed(rng: torch.Generator, *shape: int) -> Tensor:
    """Uniform in [-1, 1]."""
    return torch.rand(*shape, generator=rng) * 2 - 1


def _filtered(images: Images, kernels: Tensor) -> Images:
    """Each image and channel with its own kernel, shape (3 n, 1, a, b), mirrored at the edge."""
    n, c, height, width = images.shape
    a, b = kernels.shape[-2:]
    rows = F.pad(images.reshape(1, n * c, height, width), (b // 2, b // 2, a // 2, a // 2), mode="reflect")
    return F.conv2d(rows, kernels, groups=n * c).view(n, c, height, width)
