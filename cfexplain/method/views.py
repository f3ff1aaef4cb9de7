"""Random views of an image: what stays the same lesion to a person should stay the same to the classifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.quasirandom import SobolEngine

from cfexplain.types import Images, Prediction

Randomness = torch.Generator | Sequence[torch.Generator]
"""One generator for a batch, or one for each of its images."""


class ViewParameters(NamedTuple):
    """The random parameters of n views.

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


class Points(Protocol):
    """Draws uniform numbers in [0, 1), some for each of n views."""

    def of(self, n: int) -> Callable[..., Tensor]:
        """What draws these for the next n views, called with the shape, whose first side is n."""
        ...


@dataclass(frozen=True)
class RandomPoints:
    """Independent numbers."""

    rng: torch.Generator

    def of(self, n: int) -> Callable[..., Tensor]:
        """Independent numbers."""
        return lambda *shape: torch.rand(*shape, generator=self.rng)


class SobolPoints:
    """A scrambled Sobol sequence: consecutive points cover the unit cube more evenly than independent ones.

    So a mean over the views of a step, or over those of some steps, has less noise.

    Source: Owen, "Scrambling Sobol' and Niederreiter-Xing Points", 1998, by `torch.quasirandom.SobolEngine`; the gain:
    experiments/results/pretrained_prior.md.
    """

    DIMENSIONS = 10

    def __init__(self, rng: torch.Generator) -> None:
        seed = int(torch.randint(2**31, (), generator=rng))
        self.sequence = SobolEngine(self.DIMENSIONS, scramble=True, seed=seed)

    def of(self, n: int) -> Callable[..., Tensor]:
        """The coordinates of the next n points, one after another."""
        coordinates = iter(self.sequence.draw(n).unbind(1))
        return lambda n, *rest: torch.stack([next(coordinates) for _ in range(math.prod(rest))], 1).view(n, *rest)


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
        quasi_random: take the parameters from a scrambled Sobol sequence instead of drawing them independently.

    Source: expectation over transformations, Athalye et al. 2018; the ranges are ours, set on
    8 validation lesions; experiments/isic_paired.py compares the default with no views.

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
    quasi_random: bool = False

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")

    def draw(self, images: Images, rng: Randomness) -> Images:
        """Views of a batch, shape (count * n, 3, h, w): the first view of all images, then the second, and so on.

        Args:
            images: n images.
            rng: one generator for all, or one an image, whose views then do not depend on its neighbours.
        """
        return self.apply(images, self.sample(images, rng))

    def sample(self, images: Images, rng: Randomness) -> ViewParameters:
        """Draw the parameters of each view of each image."""
        if isinstance(rng, torch.Generator):
            return self._sample(self.count * len(images), images, rng, self.points(rng))
        return self.next(images, rng, [self.points(own) for own in rng])

    def next(self, images: Images, rngs: Sequence[torch.Generator], points: Sequence[Points]) -> ViewParameters:
        """The parameters of the next views of each image; `points` go on from call to call, see `Views.points`."""
        each = [self._sample(self.count, images, *own) for own in zip(rngs, points, strict=True)]
        return ViewParameters(*(torch.stack(parts, 1).flatten(0, 1) for parts in zip(*each, strict=True)))

    def points(self, rng: torch.Generator) -> Points:
        """What draws the numbers in [0, 1) that decide about views: independent ones, or a Sobol sequence."""
        return SobolPoints(rng) if self.quasi_random else RandomPoints(rng)

    def _sample(self, n: int, like: Images, rng: torch.Generator, points: Points) -> ViewParameters:
        affine, blur, gain, sigma = self.parameters(n, points)
        # Noise for a GPU is drawn there: copied from the CPU it would take longer than the rest of the views.
        drawn_by = generator_on(like.device, rng) if like.is_cuda else rng
        noise = torch.randn(n, 3, *like.shape[-2:], generator=drawn_by, device=drawn_by.device)
        return ViewParameters(affine, blur, gain, sigma.to(noise.device) * noise)

    def parameters(self, n: int, points: Points) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Parameters of n views: affine, blur, gain, and the standard deviation of the noise, shape (n, 1, 1, 1)."""
        uniform = points.of(n)
        angle = math.radians(self.rotation) * _signed(uniform(n))
        smallest, largest = (torch.tensor(float(zoom)) for zoom in self.scale)
        zoom = smallest.lerp(largest, uniform(n))
        mirror = torch.where(uniform(n) < 0.5, -1.0, 1.0) if self.flip else torch.ones(n)
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        moved = 2 * self.shift * _signed(uniform(n, 2))
        affine = torch.stack([cos * mirror, -sin, moved[:, 0], sin * mirror, cos, moved[:, 1]], 1).view(n, 2, 3)
        blur = uniform(n, 1) if self.blur else torch.zeros(n, 1)
        gain = 1 + self.colour * _signed(uniform(n, 3, 1, 1))
        return affine, blur, gain, self.noise * uniform(n, 1, 1, 1)

    def apply(self, images: Images, parameters: ViewParameters) -> Images:
        """The views with these parameters."""
        affine, blur, gain, noise = (part.to(images) for part in parameters)
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


def generator_on(device: torch.device, rng: torch.Generator) -> torch.Generator:
    """A generator on a device, seeded by this one."""
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=rng)))


def split(prediction: Prediction, n: int) -> tuple[Prediction, Prediction]:
    """The prediction of the first n images, and that of the rest."""
    return prediction.at(slice(None, n)), prediction.at(slice(n, None))


def _in_pixels(affine: Tensor, height: int, width: int) -> Tensor:
    """The same turn of pixels that are as wide as high: torch's coordinates run from -1 to 1 along either side."""
    if height == width:
        return affine
    return affine * affine.new_tensor([[1.0, height / width, 1.0], [width / height, 1.0, 1.0]])


def _signed(uniform: Tensor) -> Tensor:
    """Uniform in [-1, 1) of uniform in [0, 1)."""
    return uniform * 2 - 1


def _filtered(images: Images, kernels: Tensor) -> Images:
    """Each image and channel with its own kernel, shape (3 n, 1, a, b), mirrored at the edge."""
    n, c, height, width = images.shape
    a, b = kernels.shape[-2:]
    rows = F.pad(images.reshape(1, n * c, height, width), (b // 2, b // 2, a // 2, a // 2), mode="reflect")
    return F.conv2d(rows, kernels, groups=n * c).view(n, c, height, width)
