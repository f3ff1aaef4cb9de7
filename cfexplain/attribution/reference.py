"""What stands beside the methods in a comparison: the change itself, the picture's edges, and noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.generators.noise import generator_for
from cfexplain.types import Images

CHANGE, EDGES, RANDOM = "counterfactual change", "edges", "random"
REFERENCES = (CHANGE, EDGES, RANDOM)
"""The change, which agrees fully; edges, for which no classifier is needed; noise, which is chance.

A method that is no better than the edges has shown nothing of what the model has learned, however far it is above
chance: maps, changes and pictures have their edges in common.
"""

AROUND = 5
"""Pixels a side over which edges are averaged."""


def edges(images: Images) -> Float[Tensor, "n h w"]:
    """How steep the grey picture is: |gradient| of the mean of the channels, averaged over squares of `AROUND` pixels.

    Example:
        >>> step = torch.zeros(1, 3, 9, 9)
        >>> step[..., 5:] = 1.0
        >>> [round(v, 2) for v in edges(step)[0, 4].tolist()]
        [0.0, 0.0, 0.1, 0.2, 0.2, 0.2, 0.2, 0.1, 0.0]

    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, hold an edge detector against maps.
    """
    steep = torch.stack(torch.gradient(images.detach().float().cpu().mean(1), dim=(1, 2))).norm(dim=0)
    return F.avg_pool2d(steep[:, None], AROUND, stride=1, padding=AROUND // 2)[:, 0]


def noise(images: Images, seed: int) -> Float[Tensor, "n h w"]:
    """A random map that depends on the seed and on each image alone."""
    size = images.shape[-2:]
    drawn = [torch.rand(size, generator=generator_for(one, seed, "random map")) for one in images.split(1)]
    return torch.stack(drawn)
