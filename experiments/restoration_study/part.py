"""One table of the study: its pictures, how they are given, the method and the measure."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cfexplain.images import to_uint8
from cfexplain.restore.quality import luminance_psnr, psnr

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CFEXPLAIN_DATA", ROOT.parent / "shared" / "data")) / "restoration"
RUNS, OUT = ROOT / "runs" / "restoration", ROOT / "experiments" / "results" / "restoration"

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
    """One table: its pictures, the method, what is asked, and how it is measured."""

    images: tuple[str, ...]
    method: str
    load: Callable[[str], tuple[Tensor, Tensor, Any]]
    measure: Callable[[Tensor, Tensor], float] = psnr


def opened(path: Path, mode: str | None = None) -> Tensor:
    """A picture as (1, c, h, w) in [0, 1]."""
    with Image.open(path) as file:
        array = np.array(file.convert(mode) if mode else file)
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255


def noisy(name: str) -> tuple[Tensor, Tensor, Any]:
    site = DATA / "dip_site" / "denoise25"
    return opened(site / f"{name}_GT.png"), opened(site / f"{name}_noisy.png"), None


def cropped(name: str, side: int = 256) -> tuple[Tensor, Tensor, Any]:
    """The middle of a noisy picture: what a CPU can run far enough to see a stop rule stop, on all nine."""
    truth, given, extra = noisy(name)
    top, left = ((whole - side) // 2 for whole in truth.shape[-2:])
    return *(x[..., top : top + side, left : left + side].contiguous() for x in (truth, given)), extra


def masked(name: str) -> tuple[Tensor, Tensor, Any]:
    site = DATA / "dip_site" / "inpaint50"
    given = opened(site / f"{name}_masked.png")
    return opened(site / f"{name}_GT.png"), given, (given == 0).float()


def reduced(folder: str, factor: int = 4) -> Callable[[str], tuple[Tensor, Tensor, Any]]:
    """The centre of a picture and its reduction by Pillow's Lanczos filter."""

    def load(name: str) -> tuple[Tensor, Tensor, Any]:
        whole = opened(DATA / folder / f"{name}.png", "RGB")
        height, width = (side // 32 * 32 for side in whole.shape[-2:])
        top, left = (whole.shape[-2] - height) // 2, (whole.shape[-1] - width) // 2
        truth = whole[..., top : top + height, left : left + width].contiguous()
        small = Image.fromarray(to_uint8(truth[0])).resize(
            (width // factor, height // factor), Image.Resampling.LANCZOS
        )
        return truth, torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255, factor

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
