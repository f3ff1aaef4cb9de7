"""Corrupted lesions: the same lesion as a worse camera, a smaller file or another lamp would show it."""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as PIL
from torch import Tensor

from cfexplain.types import Images


def corrupted(images: Images, rng: torch.Generator) -> Images:
    """A batch in which each image has one fault, drawn at random, of a strength drawn at random.

    The faults: JPEG of quality 3 to 40; blur of standard deviation 0.5 to 3 % of a side; noise of standard
    deviation 0.02 to 0.2; a colour cast (gain and gamma up to 40 % off, by channel). Lesion and label
    stay what they are.

    Source: four of the kinds of Hendrycks and Dietterich, ICLR 2019; the strengths are ours.

    Example:
        >>> corrupted(torch.full((2, 3, 32, 32), 0.5), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 32, 32])
    """
    faults = (_jpeg, _blur, _noise, _cast)
    drawn = torch.randint(len(faults), (len(images),), generator=rng).tolist()
    strengths = torch.rand(len(images), generator=rng).tolist()
    spoilt = [faults[k](image, s, rng) for k, s, image in zip(drawn, strengths, images, strict=True)]
    return torch.stack(spoilt).clamp(0, 1) if spoilt else images


def _jpeg(image: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    pixels = image.mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    PIL.fromarray(pixels).save(file, "JPEG", quality=round(40 - 37 * strength))
    read = np.array(PIL.open(file))
    return torch.from_numpy(read).permute(2, 0, 1).to(image) / 255


def _blur(image: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    deviation = (0.005 + 0.025 * strength) * image.shape[-1]
    reach = min(int(3 * deviation) + 1, image.shape[-1] - 1)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(image) / deviation).square())
    bell = (bell / bell.sum()).expand(3, 1, 1, -1)
    padded = F.pad(image[None], (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, bell, groups=3), bell.transpose(2, 3), groups=3)[0]


def _noise(image: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    return image + (0.02 + 0.18 * strength) * torch.randn(image.shape, generator=rng).to(image)


def _cast(image: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    gain, gamma = 1 + 0.4 * strength * (2 * torch.rand(2, 3, 1, 1, generator=rng).to(image) - 1)
    recoloured: Tensor = gain * image.clamp_min(1e-4) ** gamma
    return recoloured
