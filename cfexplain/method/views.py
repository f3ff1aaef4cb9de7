"""Random views of an image: what stays the same lesion to a person should stay the same to the classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cfexplain.types import Images, Prediction

Randomness = torch.Generator | Sequence[torch.Generator]
"""One generator for a batch, or one for each of its images."""


class Viewing(NamedTuple):
    """How n views are seen.

    Attributes:
        affine: shape (n, 2, 3), of `affine_grid`.
        blur: standard deviation as a share of the largest, shape (n, 1).
        gain: of each channel, shape (n, 3, 1, 1).
        noise: added last, shape (n, 3, h, w).
    """

    affine: Tensor
    blur: Tensor
    gain: Tensor
    noise: Tensor


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

    def draw(self, images: Images, rng: Randomness) -> Images:
        """Views of a batch, shape (count * n, 3, h, w): the first view of all images, then the second, and so on.

        Args:
            images: n images.
            rng: one generator for all, or one an image, whose views then do not depend on its neighbours.
        """
        return self.see(images, self.sample(images, rng))

    def sample(self, images: Images, rng: Randomness) -> Viewing:
        """Draw how each view of each image is seen."""
        if isinstance(rng, torch.Generator):
            return self._sample(self.count * len(images), images, rng)
        each = [self._sample(self.count, images, own) for own in rng]
        return Viewing(*(torch.stack(parts, 1).flatten(0, 1) for parts in zip(*each, strict=True)))

    def _sample(self, n: int, like: Images, rng: torch.Generator) -> Viewing:
        affine, blur, gain, sigma = self._small(n, rng)
        drawn_by = there(rng, like) if like.is_cuda else rng
        noise = torch.randn(n, 3, *like.shape[-2:], generator=drawn_by, device=drawn_by.device)
        return Viewing(affine, blur, gain, sigma.to(noise.device) * noise)

    def _small(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All that n views are seen by, but for the noise, of which only the size: (n, 1, 1, 1)."""
        angle = math.radians(self.rotation) * _signed(rng, n)
        zoom = torch.empty(n).uniform_(*self.scale, generator=rng)
        mirror = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0) if self.flip else torch.ones(n)
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        moved = 2 * self.shift * _signed(rng, n, 2)
        affine = torch.stack([cos * mirror, -sin, moved[:, 0], sin * mirror, cos, moved[:, 1]], 1).view(n, 2, 3)
        blur = torch.rand(n, 1, generator=rng) if self.blur else torch.zeros(n, 1)
        gain = 1 + self.colour * _signed(rng, n, 3, 1, 1)
        return affine, blur, gain, self.noise * torch.rand(n, 1, 1, 1, generator=rng)

    def see(self, images: Images, viewing: Viewing) -> Images:
        """The views that were drawn."""
        affine, blur, gain, noise = (part.to(images) for part in viewing)
        affine = _in_pixels(affine, *images.shape[-2:])
        repeated = images.repeat(self.count, 1, 1, 1)
        grid = F.affine_grid(affine, list(repeated.shape), align_corners=False)
        seen = F.grid_sample(repeated, grid, padding_mode="reflection", align_corners=False)
        return (self._blurred(seen, blur) * gain + noise).clamp(0, 1)

    def _blurred(self, images: Images, share: Tensor) -> Images:
        if self.blur == 0:
            return images
        largest = self.blur * min(images.shape[-2:])
        sigma = (share * largest).clamp_min(0.05)
        reach = max(1, math.ceil(2 * largest))
        taps = (-(torch.arange(-reach, reach + 1, device=images.device) ** 2) / (2 * sigma**2)).exp()
        taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(3, 0)
        return _filtered(_filtered(images, taps[:, None, :, None]), taps[:, None, None, :])


class Stream:
    """Views of a batch, step after step.

    On a GPU what they are seen by is drawn `AHEAD` steps at once, and the noise there, by a generator of each image's
    own: drawn one by one on the CPU they would take longer than all the rest of a step.

    Args:
        views: which.
        rng: one generator for all images, or one an image.
    """

    AHEAD = 16

    def __init__(self, views: Views, rng: Randomness) -> None:
        self.views = views
        self.rng = rng
        self.coming: list[tuple[Tensor, ...]] = []
        self.there: list[torch.Generator] = []

    def draw(self, images: Images) -> Images:
        """The views of the next step; see `Views.draw`."""
        own = [self.rng] if isinstance(self.rng, torch.Generator) else list(self.rng)
        if not images.is_cuda or len(own) != len(images):
            return self.views.draw(images, self.rng)
        if not self.coming:
            self.there = self.there or [there(rng, images) for rng in own]
            self._look_ahead(own, images)
        affine, blur, gain, sigma = self.coming.pop(0)
        noise = images.new_empty(len(images), self.views.count, *images.shape[1:])
        for part, rng in zip(noise, self.there, strict=True):
            part.normal_(generator=rng)
        return self.views.see(images, Viewing(affine, blur, gain, sigma * noise.transpose(0, 1).flatten(0, 1)))

    def _look_ahead(self, own: Sequence[torch.Generator], images: Images) -> None:
        each = [self.views._small(self.views.count * self.AHEAD, rng) for rng in own]
        together = [torch.stack(parts, 1).to(images) for parts in zip(*each, strict=True)]
        self.coming = list(zip(*(part.flatten(0, 1).chunk(self.AHEAD) for part in together), strict=True))

    def keep(self, places: list[int]) -> None:
        """Go on with some of the images."""
        if isinstance(self.rng, torch.Generator):
            return
        n = len(self.rng)
        self.rng = [self.rng[k] for k in places]
        self.there = [self.there[k] for k in places] if self.there else []
        self.coming = [tuple(p.unflatten(0, (-1, n))[:, places].flatten(0, 1) for p in parts) for parts in self.coming]


def there(rng: torch.Generator, images: Images) -> torch.Generator:
    """A generator on the images' device that begins where this one is."""
    return torch.Generator(images.device).manual_seed(int(torch.randint(2**62, (), generator=rng)))


def split(prediction: Prediction, n: int) -> tuple[Prediction, Prediction]:
    """The prediction of the first n images, and that of the rest."""
    return prediction.at(slice(None, n)), prediction.at(slice(n, None))


def _in_pixels(affine: Tensor, height: int, width: int) -> Tensor:
    """The same turn of pixels that are as wide as high: torch's coordinates run from -1 to 1 along either side."""
    if height == width:
        return affine
    return affine * affine.new_tensor([[1.0, height / width, 1.0], [width / height, 1.0, 1.0]])


def _signed(rng: torch.Generator, *shape: int) -> Tensor:
    """Uniform in [-1, 1]."""
    return torch.rand(*shape, generator=rng) * 2 - 1


def _filtered(images: Images, kernels: Tensor) -> Images:
    """Each image and channel with its own kernel, shape (3 n, 1, a, b), mirrored at the edge."""
    n, c, height, width = images.shape
    a, b = kernels.shape[-2:]
    rows = F.pad(images.reshape(1, n * c, height, width), (b // 2, b // 2, a // 2, a // 2), mode="reflect")
    return F.conv2d(rows, kernels, groups=n * c).view(n, c, height, width)
