"""A small classifier with taps and an estimated loss, and pictures on disk, for tests that need any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from cfexplain.types import Prediction


class Toy(nn.Module):
    """Two classes by the redness of the middle; smooth, quick, deterministic."""

    classes = ("pale", "red")
    image_size = 32

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(8)
            self.second = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.eval()

    @property
    def module(self) -> nn.Module:
        return self

    def usual_loss(self, index: int, share: float = 0.5) -> float:
        return -0.5

    def forward(self, images: torch.Tensor) -> Prediction:
        shallow = torch.relu(self.norm(self.first(images)))
        deep = torch.tanh(self.second(shallow))
        middle = images[..., 8:-8, 8:-8].mean(dim=(2, 3))
        redness = 40 * (middle[:, 0] - middle[:, 1:].mean(1) - 0.1)
        logits = torch.stack([-redness, redness], dim=1) / 2
        loss = deep.mean(dim=(1, 2, 3)) + (images.mean(dim=(1, 2, 3)) - 0.5).abs()
        return Prediction(logits, (shallow, deep), loss)


def pale_images(count: int = 2, size: int = 32, seed: int = 0) -> torch.Tensor:
    """Smooth pictures that the toy calls pale."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=rng) * 0.3 + 0.35
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)


def draw(folder: Path, *names: str, suffix: str = ".jpg") -> Path:
    """Write small pictures of noise under these names, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        pixels = np.random.default_rng(k).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}{suffix}")
    return folder
