"""Random views of an image: what stays the same lesion to a person should stay the same to the classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from cfexplain.types import Images, Prediction

DIMENSIONS = 10
"""Random numbers of a view, its pixel noise aside."""

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
    8 validation lesions; experiments/isic_paired.py compares the default of version 0.1 with no views.

    Example:
        >>> Views(count=3).draw(torch.rand(2, 3, 16, 16), torch.Generator().manual_seed(0)).shape
        torch.Size([6, 3, 16, 16])
    """

    count: int = 4
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
        return self.apply(images, self.sample(images, rng))

    def sample(self, images: Images, rng: Randomness) -> ViewParameters:
        """Draw the parameters of each view of each image."""
        rngs = [rng] * len(images) if isinstance(rng, torch.Generator) else rng
        sequences = [points(own) for own in rngs]
        noise = [generator_on(images.device, own) for own in rngs] if images.is_cuda else rngs
        return self.drawn(images, sequences, noise)

    def drawn(
        self, images: Images, sequences: Sequence[SobolEngine], rngs: Sequence[torch.Generator]
    ) -> ViewParameters:
        """The parameters of the next views of each image.

        Args:
            images: n images.
            sequences: the points of each image's views, see `points`.
            rngs: of each image's pixel noise, on the device where it is drawn.
        """
        each = [self._own(images, *own) for own in zip(sequences, rngs, strict=True)]
        return ViewParameters(*(torch.stack(parts, 1).flatten(0, 1) for parts in zip(*each, strict=True)))

    def _own(self, like: Images, sequence: SobolEngine, rng: torch.Generator) -> ViewParameters:
        # Noise for a GPU is drawn there: copied from the CPU it would take longer than the rest of the views.
        affine, blur, gain, sigma = (part.to(rng.device) for part in self.parameters(sequence.draw(self.count)))
        noise = torch.randn(self.count, 3, *like.shape[-2:], generator=rng, device=rng.device)
        return ViewParameters(affine, blur, gain, sigma * noise)

    def parameters(self, at: Float[Tensor, "n 10"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Affine, blur, gain, and the standard deviation of the noise, shape (n, 1, 1, 1), of points in [0, 1)."""
        n, signed = len(at), 2 * at - 1
        angle = math.radians(self.rotation) * signed[:, 0]
        zoom = self.scale[0] + (self.scale[1] - self.scale[0]) * at[:, 1]
        mirror = torch.where(at[:, 2] < 0.5, -1.0, 1.0) if self.flip else torch.ones(n)
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        moved = 2 * self.shift * signed[:, 3:5]
        affine = torch.stack([cos * mirror, -sin, moved[:, 0], sin * mirror, cos, moved[:, 1]], 1).view(n, 2, 3)
        blur = at[:, 5:6] if self.blur else torch.zeros(n, 1)
        gain = 1 + self.colour * signed[:, 6:9].view(n, 3, 1, 1)
        return affine, blur, gain, self.noise * at[:, 9:10].view(n, 1, 1, 1)

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


def points(rng: torch.Generator) -> SobolEngine:
    """A scrambled Sobol sequence (Owen 1998) of the parameters of a view.

    Any few consecutive points cover all parameters more evenly than random ones, so the gradient averaged over the
    views of a step, and over the views of some steps, has less noise (test_views.py).
    """
    return SobolEngine(DIMENSIONS, scramble=True, seed=int(torch.randint(2**31, (), generator=rng)))


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


def _filtered(images: Images, kernels: Tensor) -> Images:
    """Each image and channel with its own kernel, shape (3 n, 1, a, b), mirrored at the edge."""
    n, c, height, width = images.shape
    a, b = kernels.shape[-2:]
    rows = F.pad(images.reshape(1, n * c, height, width), (b // 2, b // 2, a // 2, a // 2), mode="reflect")
    return F.conv2d(rows, kernels, groups=n * c).view(n, c, height, width)
