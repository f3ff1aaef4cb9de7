"""Which narrow net and which jitter make the fast preset of restoration; writes results/restoration/fast.csv and fast.png.

    python experiments/fast_restoration.py           an hour on a core; finished variants are kept

Two pictures that no table of `restoration.py` denoises: the middle 256 pixels of Set14's `monarch` and `foreman`, with
noise of sigma 25 and a fixed seed. Each variant's average of paintings is followed for so many steps; the truth is read to
draw the curves, never by a run.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch
from restoration_study.follow import followed
from restoration_study.part import DATA, OUT, RUNS, opened

from cfexplain.method.stage import Method
from cfexplain.restore import DENOISE, denoise, fast
from cfexplain.restore.quality import psnr

SIDE, SIGMA, EVERY = 256, 25 / 255, 50
PICTURES = ("monarch", "foreman")
FAST = fast(DENOISE)


def variant(widths: tuple[int, ...], skip: int, jitter: float, steps: int, rate: float = 1.0) -> Method:
    """With another net, gains of 1, and shares of the published jitter and rate."""
    edit = replace(
        FAST.edit, jitter=jitter * DENOISE.edit.jitter, steps=steps, learning_rate=rate * DENOISE.edit.learning_rate
    )
    painter = replace(DENOISE.generator, widths=widths, skips=(skip,) * 5, gains="ones")  # type: ignore[type-var]
    return replace(FAST, generator=painter, edit=edit)


VARIANTS = {
    "the fast preset": FAST,
    "the fast preset, gains of 1": replace(FAST, generator=replace(FAST.generator, gains="ones")),  # type: ignore[type-var]
    "64 channels": variant((64,) * 5, 4, 0.75, 1200),
    "64 channels, half the jitter": variant((64,) * 5, 4, 0.5, 1200),
    "64 channels, skips of 16": variant((64,) * 5, 16, 0.75, 1000),
    "64 channels, full jitter, twice the rate": variant((64,) * 5, 4, 1.0, 1000, rate=2.0),
    "128 channels, half the jitter": variant((128,) * 5, 4, 0.5, 700),
    "32 to 128 channels, skips of 16, half the jitter": variant((32, 64, 96, 128, 128), 16, 0.5, 1200),
    "16 to 96 channels, skips of 16, half the jitter": variant((16, 32, 64, 96, 96), 16, 0.5, 1200),
}


def pair(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The picture, and the picture with noise, rounded to eight bits."""
    whole = opened(DATA / "set14" / f"{name}.png", "RGB")
    top, left = ((side - SIDE) // 2 for side in whole.shape[-2:])
    truth = whole[..., top : top + SIDE, left : left + SIDE].contiguous()
    drawn = torch.randn(truth.shape, generator=torch.Generator().manual_seed(7))
    return truth, ((truth + SIGMA * drawn).clamp(0, 1) * 255).round() / 255


def follow(picture: str, name: str) -> pd.DataFrame:
    """The curve of one variant on one picture."""
    path = RUNS / "fast" / picture / f"{name.replace(' ', '-').replace(',', '')}.csv"
    truth, noisy = pair(picture)
    told = {"picture": picture, "variant": name}
    return followed(path, told, truth, psnr, EVERY, lambda run: denoise(noisy, method=VARIANTS[name], run=run))


def draw(rows: pd.DataFrame) -> None:
    """The averages over steps, a panel a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5))
    FigureCanvasAgg(figure)
    for axes, picture in zip(figure.subplots(1, len(PICTURES)), PICTURES, strict=True):
        for name, curve in rows[rows["picture"] == picture].groupby("variant", sort=False):
            axes.plot(curve["step"], curve["average"], color=f"C{list(VARIANTS).index(name)}", label=name)
        axes.set(title=picture, xlabel="steps", ylabel="PSNR of the average in dB", ylim=(24, None))
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    figure.savefig(OUT / "fast.png", dpi=90, bbox_inches="tight")


def main() -> None:
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    rows = pd.concat([follow(picture, name) for name in VARIANTS for picture in PICTURES])
    rows.to_csv(OUT / "fast.csv", index=False, float_format="%.3f")
    draw(rows)
    print(rows.groupby(["picture", "variant"], sort=False).last().round(2))


if __name__ == "__main__":
    main()
