"""Two sheets to look at: 64 synthetic lesions, and 16 of them beside their true counterfactuals.

    python experiments/synthetic_sheet.py [--out FOLDER] [--seed N]

Writes `lesions.png` (green is benign, red malignant, with the score) and `counterfactuals.png` (query, true
counterfactual, signed change of the grey value: blue is darker, red lighter, full colour at 0.5).
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch

from cfexplain_datasets.synthetic import CLASSES, SyntheticLesions

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

COLOURS = ("#1a7f37", "#cf222e")


def show(axes: Axes, image: torch.Tensor, title: str, label: int | None = None) -> None:
    """One picture with its title in the colour of its class."""
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_title(title, fontsize=6, pad=1.5, color="black" if label is None else COLOURS[label])
    axes.axis("off")


def lesions_sheet(data: SyntheticLesions) -> Figure:
    """Every sample with its label and score, eight a row."""
    figure, grid = plt.subplots(-(-len(data) // 8), 8, figsize=(8, len(data) / 8 * 1.09), layout="constrained")
    for axes, lesion in zip(grid.flat, data, strict=True):
        show(axes, lesion.image, f"{CLASSES[lesion.label]} {lesion.metadata['score']:.1f}", lesion.label)
    return figure


def counterfactuals_sheet(data: SyntheticLesions) -> Figure:
    """Every sample, its true counterfactual and the signed change, two samples a row."""
    figure, grid = plt.subplots(len(data) // 2, 6, figsize=(6.6, len(data) / 2 * 1.2), layout="constrained")
    for axes, index in zip(grid.reshape(-1, 3), range(len(data)), strict=True):
        query = data[index]
        moved = data.counterfactual(index, 1 - query.label)
        show(axes[0], query.image, f"{CLASSES[query.label]} {query.metadata['score']:.1f}", query.label)
        show(axes[1], moved.image, f"{CLASSES[moved.label]} {moved.metadata['score']:.1f}", moved.label)
        change = (moved.image - query.image).mean(dim=0)
        axes[2].imshow(change.numpy(), cmap="RdBu_r", vmin=-0.5, vmax=0.5, interpolation="nearest")
        axes[2].set_title("change", fontsize=6, pad=1.5)
        axes[2].axis("off")
    return figure


def save(path: Path, figure: Figure) -> None:
    """Write a sheet as a PNG small enough to keep in a repository."""
    figure.set_dpi(110 if figure.get_figwidth() < 7 else 72)
    figure.canvas.draw()
    Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3]).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "synthetic")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sheets = {
        "lesions.png": lesions_sheet(SyntheticLesions(64, size=96, seed=options.seed, split="test")),
        "counterfactuals.png": counterfactuals_sheet(SyntheticLesions(16, size=96, seed=options.seed, split="test")),
    }
    for name, figure in sheets.items():
        save(options.out / name, figure)
        print(options.out / name)


if __name__ == "__main__":
    main()
