"""The tables of the study: images, inputs, methods and measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from shared import DATA as SHARED
from shared import RESULTS
from shared import RUNS as EVERY_RUN
from torch import Tensor

from cfexplain.images import to_uint8
from cfexplain.restore.quality import psnr
from restoration_study.quality import luminance_psnr

DATA, RUNS, OUT = SHARED / "restoration", EVERY_RUN / "restoration", RESULTS / "restoration"

DENOISING = ("F16", "baboon", "hill", "kodim01", "kodim02", "kodim03", "kodim12", "lena", "peppers")
"""Of the authors' site; their `hill` is the colour House."""
INPAINTING = (
    "barbara", "boat", "house", "Lena512", "peppers256", "Cameraman256", "couple", "fingerprint", "hill", "man", "montage",
)  # fmt: skip
SET5 = ("baby", "bird", "butterfly", "head", "woman")
SET14 = (
    "baboon", "barbara", "bridge", "coastguard", "comic", "face", "flowers", "foreman", "lenna", "man", "monarch", "pepper",
    "ppt3", "zebra",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One table: its images, the method, the loader of (truth, input, mask or factor), and the measure."""

    images: tuple[str, ...]
    method: str
    load: Callable[[str], tuple[Tensor, Tensor, Any]]
    measure: Callable[[Tensor, Tensor], float] = psnr


def tensor(image: Any) -> Tensor:
    """An image of Pillow as (1, c, h, w) in [0, 1]."""
    return torch.from_numpy(np.atleast_3d(np.array(image))).permute(2, 0, 1)[None].float() / 255


def opened(path: Path, mode: str | None = None) -> Tensor:
    with Image.open(path) as file:
        return tensor(file.convert(mode) if mode else file)


def noisy(name: str) -> tuple[Tensor, Tensor, Any]:
    site = DATA / "dip_site" / "denoise25"
    return opened(site / f"{name}_GT.png"), opened(site / f"{name}_noisy.png"), None


def cropped(name: str, side: int = 256) -> tuple[Tensor, Tensor, Any]:
    """The middle of a noisy image: what a CPU can run far enough to see a stop rule stop, on all nine."""
    truth, given, extra = noisy(name)
    top, left = ((whole - side) // 2 for whole in truth.shape[-2:])
    return *(x[..., top : top + side, left : left + side].contiguous() for x in (truth, given)), extra


def masked(name: str) -> tuple[Tensor, Tensor, Any]:
    site = DATA / "dip_site" / "inpaint50"
    given = opened(site / f"{name}_masked.png")
    return opened(site / f"{name}_GT.png"), given, (given == 0).float()


def reduced(folder: str, factor: int = 4) -> Callable[[str], tuple[Tensor, Tensor, Any]]:
    """The centre of a image and its reduction by Pillow's Lanczos filter."""

    def load(name: str) -> tuple[Tensor, Tensor, Any]:
        whole = opened(DATA / folder / f"{name}.png", "RGB")
        height, width = (side // 32 * 32 for side in whole.shape[-2:])
        top, left = (whole.shape[-2] - height) // 2, (whole.shape[-1] - width) // 2
        truth = whole[..., top : top + height, left : left + width].contiguous()
        small = Image.fromarray(to_uint8(truth[0])).resize(
            (width // factor, height // factor), Image.Resampling.LANCZOS
        )
        return truth, tensor(small), factor

    return load


PARTS = {
    "denoising": Part(DENOISING, "denoise", noisy),
    "denoising-middle": Part(DENOISING, "denoise", cropped),
    "inpainting": Part(INPAINTING, "inpaint-half", masked),
    "superresolution": Part(SET5, "superresolve-4", reduced("set5"), luminance_psnr),
    "superresolution14": Part(SET14, "superresolve-4", reduced("set14"), luminance_psnr),
    "superresolution8": Part(SET5, "superresolve-8", reduced("set5", 8), luminance_psnr),
    "superresolution8of14": Part(SET14, "superresolve-8", reduced("set14", 8), luminance_psnr),
}
