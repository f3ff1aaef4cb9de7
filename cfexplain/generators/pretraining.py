"""Pretraining a deep image prior to reconstruct pictures from themselves, so that an anchor takes a few steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor, nn

from cfexplain.generators.generator import Generator


def pretrain(
    generator: Generator,
    pictures: UInt8[Tensor, "n 3 s s"],
    *,
    steps: int = 2700,
    batch: int = 12,
    side: int = 64,
    learning_rate: float = 4e-3,
    seed: int = 0,
    callback: Callable[[int, float], object] | None = None,
) -> nn.Module:
    """Learn min_theta E_x |f_theta(x) - x|^2 over random crops, mirror images, quarter turns and colour gains of x.

    Args:
        generator: of a network whose input is the picture itself, `Noise(kind="picture")`.
        pictures: without labels, eight bits a channel, at least as large as `side`.
        steps: of Adam, with a one-cycle learning rate.
        batch: pictures a step; each is normalised by its own statistics, as in a search.
        side: pixels of a crop's side.
        learning_rate: the largest of the cycle.
        seed: of weights, crops and order.
        callback: called as callback(step, loss).

    Returns:
        The network; `Pretrained` starts from its weights.

    Source: ours (experiments/results/pretrained_prior.md: what it brings). Per-image normalisation takes a picture's
    mean and contrast away, so the reconstruction stays near 20 dB; only differences to it are used.
    """
    rng = torch.Generator().manual_seed(seed)
    network = generator.build(torch.zeros(1, 3, side, side), rng)
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
    for step in range(steps):
        x = _crops(pictures[torch.randint(len(pictures), (batch,), generator=rng)], side, rng)
        loss = F.mse_loss(network(x), x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if callback is not None:
            callback(step, float(loss.detach()))
    return network


def _crops(pictures: Tensor, side: int, rng: torch.Generator) -> Tensor:
    """A random square of each picture, from the whole to two thirds of it, turned and recoloured."""
    n, whole = len(pictures), pictures.shape[-1]
    crop = int(torch.randint(2 * whole // 3, whole + 1, (), generator=rng))
    top, left = torch.randint(whole - crop + 1, (2,), generator=rng).tolist()
    x = pictures[:, :, top : top + crop, left : left + crop].float() / 255
    x = F.interpolate(x, (side, side), mode="area")
    turns, mirrored = torch.randint(4, (n,), generator=rng).tolist(), torch.rand(n, generator=rng) < 0.5
    x = torch.stack([torch.rot90(p, k, (1, 2)) for p, k in zip(x, turns, strict=True)])
    x = torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x)
    gain = 1 + 0.25 * (2 * torch.rand(n, 3, 1, 1, generator=rng) - 1)
    return (x * gain).clamp(0, 1).to(memory_format=torch.channels_last)
