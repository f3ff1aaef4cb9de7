"""The classics on the same images: BM3D, NLM and bicubic."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from cfexplain.images import to_uint8
from cfexplain.restore.quality import psnr
from restoration_study.part import OUT, PARTS, tensor
from restoration_study.quality import luminance_psnr, ssim


def classic() -> None:
    """BM3D and NLM on the noisy images, bicubic on the small ones; BM3D only where the package `bm3d` is."""
    rows = []
    for part, image in ((name, image) for name, one in PARTS.items() for image in one.images):
        row = {"part": part, "image": image}
        if part.startswith("denoising"):
            truth, given, _ = PARTS[part].load(image)
            rows += [row | {"method": m, "psnr": psnr(x, truth), "ssim": ssim(x, truth)} for m, x in denoised(given)]
        elif part.startswith("super"):
            truth, small, _ = PARTS[part].load(image)
            size = (truth.shape[-1], truth.shape[-2])
            grown = Image.fromarray(to_uint8(small[0])).resize(size, Image.Resampling.BICUBIC)
            rows.append(row | {"method": "bicubic, ours", "psnr": luminance_psnr(tensor(grown), truth)})
    pd.DataFrame(rows).to_csv(OUT / "classic.csv", index=False, float_format="%.4f")


def denoised(given: Tensor) -> Iterator[tuple[str, Tensor]]:
    from skimage.restoration import denoise_nl_means

    array, sigma = given[0].permute(1, 2, 0).double().numpy(), 25 / 255
    found = denoise_nl_means(array, 5, 6, h=0.8 * sigma, sigma=sigma, fast_mode=True, channel_axis=2)
    yield "NLM, scikit-image", torch.from_numpy(found).permute(2, 0, 1)[None].float().clamp(0, 1)
    try:
        from bm3d import bm3d_rgb
    except ModuleNotFoundError:
        print("BM3D is left out: pip install bm3d")
        return
    yield "CBM3D, bm3d", torch.from_numpy(np.asarray(bm3d_rgb(array, sigma))).permute(2, 0, 1)[None].float().clamp(0, 1)
