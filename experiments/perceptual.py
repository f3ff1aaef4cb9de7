"""LPIPS: how different do two images look to a person?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cfexplain.types import Images

TRUNK = "squeezenet1_1_torchvision_imagenet_fp16.safetensors"
"""SqueezeNet 1.1 trained on ImageNet, under torchvision's names."""

HEADS = "lpips_v0.1_squeeze_lin.safetensors"
"""The weight of each channel of each tap, under the names of the LPIPS release."""

TAPS = (1, 4, 7, 9, 10, 11, 12)
"""Layers of SqueezeNet's features that are compared, shallow to deep."""

SMALLEST_SIDE = 32
"""At this size the deep taps are already a single position; below 17 pixels SqueezeNet fails."""


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity, version 0.1, of SqueezeNet.

    sum over taps of the mean over positions of sum_c w_c (f_c(x) / |f(x)| - f_c(y) / |f(y)|)^2, with |f| the norm
    over channels at a position. 0 for equal images; without unit and without upper end.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, features: nn.Sequential, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.features = features
        self.weights = nn.ParameterList(weight.view(1, -1, 1, 1) for weight in weights)
        # The release's ScalingLayer, for images in [-1, 1].
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, first: Images, second: Images) -> Float[Tensor, " n"]:
        """The distance of each pair of images in [0, 1], of at least `SMALLEST_SIDE` pixels a side."""
        _check(first, second)
        pairs = zip(self.weights, self._taps(first), self._taps(second), strict=True)
        parts = [(weight * (a - b).square()).sum(1).mean(dim=(1, 2)) for weight, a, b in pairs]
        return torch.stack(parts).sum(0)

    def _taps(self, images: Images) -> list[Tensor]:
        """Activations of unit length at each position."""
        taken, x = [], (2 * images.to(self.shift) - 1 - self.shift) / self.scale
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in TAPS:
                taken.append(x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt())
        return taken


def load_lpips(folder: str | Path) -> LPIPS:
    """LPIPS of SqueezeNet, from weights on disk.

    Args:
        folder: holds `TRUNK` and `HEADS`.

    Returns:
        A module of two batches of images in [0, 1], shape (n, 3, h, w) of at least 32 pixels a side, to n distances.

    Raises:
        ValueError: a file is missing.

    Source: gives the documented values of torchmetrics (0.1024 and 0.0938 on its example) to four digits; torchmetrics
    fetches the same weights where there is a network.

    Example:
        >>> load_lpips("weights")(edit.query, edit.image)  # doctest: +SKIP
        tensor([0.0213])
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    missing = [name for name in (TRUNK, HEADS) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"LPIPS needs {' and '.join(missing)} in {folder}: put the weights there")
    trunk = {name: value.float() for name, value in load_file(folder / TRUNK).items()}
    heads = load_file(folder / HEADS)
    return LPIPS(_squeezenet(trunk), [heads[f"lin{i}.model.1.weight"] for i in range(len(TAPS))])


def _squeezenet(weights: dict[str, Tensor]) -> nn.Sequential:
    from torchvision.models import squeezenet1_1

    with torch.device("meta"):  # no random first weights, and so no draw from the global generator
        network = squeezenet1_1(weights=None)
    network.load_state_dict(weights, assign=True)
    features: nn.Sequential = network.features
    return features


def _check(first: Images, second: Images) -> None:
    if first.shape != second.shape:
        raise ValueError(f"images are compared in pairs, got shapes {tuple(first.shape)} and {tuple(second.shape)}")
    if min(first.shape[-2:]) < SMALLEST_SIDE:
        raise ValueError(f"LPIPS needs at least {SMALLEST_SIDE} pixels a side, got {tuple(first.shape[-2:])}")
