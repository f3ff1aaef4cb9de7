"""Which narrow net and which jitter make the fast preset of restoration; writes results/restoration/fast.csv and fast.png.

    python experiments/fast_restoration.py           25 minutes on a core; finished variants are kept

One picture that no table of `restoration.py` denoises: the middle 256 pixels of Set14's `monarch`, with noise of sigma
25 and a fixed seed. Each variant's average of paintings is followed for so many steps; the truth is read to draw the
curves, never by a run.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from restoration_study.part import DATA, OUT, RUNS, opened

from cfexplain.restore import DENOISE, Averaged, Run, denoise, fast
from cfexplain.restore.quality import psnr
from cfexplain.solve import Method
from cfexplain.stop import Step
from cfexplain.types import Problem

SIDE, SIGMA, EVERY = 256, 25 / 255, 50
FAST = fast(DENOISE)


def variant(skip: int, jitter: float, steps: int, **painter: Any) -> Method:
    """The fast preset with other skips, jitter and steps."""
    net = replace(FAST.generator, skips=(skip,) * 5, **painter)  # type: ignore[type-var]
    return replace(FAST, generator=net, edit=replace(FAST.edit, jitter=jitter, steps=steps))


VARIANTS = {
    "the fast preset": FAST,
    "skips of 4, full jitter": variant(4, DENOISE.edit.jitter, 1800),
    "skips of 4, half the jitter": variant(4, DENOISE.edit.jitter / 2, 1200),
    "skips of 16, full jitter": variant(16, DENOISE.edit.jitter, 1200),
    "skips of 4, no jitter": variant(4, 0.0, 1200),
    "wider, skips of 4, full jitter": variant(4, DENOISE.edit.jitter, 1200, widths=(32, 64, 96, 128, 128)),
}


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """The picture, and the picture with noise, rounded to eight bits."""
    whole = opened(DATA / "set14" / "monarch.png", "RGB")
    top, left = ((side - SIDE) // 2 for side in whole.shape[-2:])
    truth = whole[..., top : top + SIDE, left : left + SIDE].contiguous()
    drawn = torch.randn(truth.shape, generator=torch.Generator().manual_seed(7))
    return truth, ((truth + SIGMA * drawn).clamp(0, 1) * 255).round() / 255


def follow(name: str, method: Method) -> pd.DataFrame:
    """The curve of one variant, kept under runs/."""
    path = RUNS / "fast" / f"{name.replace(' ', '-').replace(',', '')}.csv"
    if path.exists():
        return pd.read_csv(path)
    truth, noisy = pair()
    average, rows, started = Averaged(0.99).start(Problem(truth)), [], time.perf_counter()

    def watch(step: Step) -> None:
        average(step)
        if (step.index + 1) % EVERY == 0:
            seen = {"painting": psnr(step.image, truth), "average": psnr(average.chosen(), truth)}
            rows.append({"variant": name, "step": step.index + 1, "seconds": time.perf_counter() - started} | seen)

    denoise(noisy, method=method, run=Run(watch=watch))
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.4f")
    return pd.read_csv(path)


def draw(rows: pd.DataFrame) -> None:
    """The averages over seconds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, curve in rows.groupby("variant", sort=False):
        axes.plot(curve["seconds"], curve["average"], label=name)
    axes.set(xlabel="seconds on one core", ylabel="PSNR of the average in dB", ylim=(24, None))
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(OUT / "fast.png", dpi=90, bbox_inches="tight")


def main() -> None:
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    rows = pd.concat([follow(name, method) for name, method in VARIANTS.items()])
    rows.to_csv(OUT / "fast.csv", index=False, float_format="%.3f")
    draw(rows)
    print(rows.groupby("variant", sort=False).last().round(2))


if __name__ == "__main__":
    main()
