"""Pictures of an explanation: the panel and the signed change map, with stated scales."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import to_uint8, write_whole
from cfexplain.search.edit import Edit
from cfexplain.types import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCALES = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
BEFORE, AFTER, INK, MUTED = "#8a8f98", "#b2182b", "#22262b", "#5c636d"
MOST_BARS = 7


def change_values(change: Float[Tensor, "3 h w"]) -> np.ndarray:
    """A signed change as one number a pixel: the mean over channels (above 0 is lighter), shape (h, w)."""
    return change.detach().cpu().float().mean(0).numpy()


def change_scale(values: np.ndarray) -> float:
    """The smallest of `SCALES` that covers 99.5 % of the pixels, so that scales can be compared between pictures."""
    reach = float(np.quantile(np.abs(values), 0.995))
    return next((s for s in SCALES if s >= reach), 1.0)


def change_image(change: Float[Tensor, "3 h w"]) -> Image:
    """The signed change in colours (purple is darker, orange lighter) at the smallest scale of `SCALES`, no axes."""
    from matplotlib import colormaps

    values = change_values(change)
    coloured = colormaps["PuOr_r"](values / change_scale(values) / 2 + 0.5)[..., :3]
    return torch.from_numpy(coloured.astype(np.float32)).permute(2, 0, 1)


def panel(result: Edit, caption: str = "") -> Figure:
    """Query, anchor, counterfactual, signed change and probabilities before and after; a row an image; a caption."""
    lines = textwrap.wrap(literal(caption), 165)
    foot = 0.22 + 0.21 * len(lines)
    height = 2.78 * len(result) + foot
    figure = blank_figure(14.6, height)
    figure.text(0.008, 0.06 / height, "\n".join(lines), fontsize=10, color=INK, va="bottom", linespacing=1.4)
    margins = {"left": 0.008, "right": 0.99, "top": 1 - 0.32 / height, "bottom": foot / height}
    grid = figure.add_gridspec(
        len(result), 6, width_ratios=(1, 1, 1, 1.16, 0.26, 0.95), wspace=0.06, hspace=0.16, **margins
    )
    for row, one in enumerate(result):
        axes = [figure.add_subplot(grid[row, column]) for column in (0, 1, 2, 3, 5)]
        source, target = int(one.source), int(one.target)
        before, after = float(one.before.probabilities[0, source]), float(one.after.probabilities[0, target])
        show_picture(axes[0], one.query[0], f"query: {one.classes[source]} {before:.2f}")
        show_picture(axes[1], one.anchor[0], "anchor: its reconstruction")
        kind = "counterfactual" if one.found[0] else one.status[0].value.replace("_", " ")
        show_picture(axes[2], one.image[0], f"{kind}: {one.classes[target]} {after:.2f}")
        _change(figure, axes[3], one.difference[0])
        _bars(axes[4], one)
    return figure


def change_figure(result: Edit) -> Figure:
    """The signed change alone, with its colour bar and scale."""
    figure = blank_figure(4.6, 4.0)
    _change(figure, figure.add_axes((0.02, 0.03, 0.86, 0.86)), result.difference[0])
    return figure


def seeds_figure(results: Sequence[Edit], agreement: Tensor, floor: Tensor) -> Figure:
    """The change of one image by each seed, and the maps of a `SeedAgreement`, shape (h, w)."""
    shown = list(results)[:4]
    figure = blank_figure(2.9 * (len(shown) + 2), 2.9)
    grid = figure.add_gridspec(1, len(shown) + 2, left=0.01, right=0.97, top=0.88, bottom=0.03, wspace=0.22)
    scale = max(change_scale(change_values(one.difference[0])) for one in shown)
    for column, one in enumerate(shown):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(change_values(one.difference[0]), cmap="PuOr_r", vmin=-scale, vmax=scale, interpolation="nearest")
        plain_axes(axes, f"change by seed {one.seed} (±{scale:g})")
    maps = ((agreement, 1.0, "seeds that agree"), (floor, scale, "noise floor: two anchors differ"))
    for column, (values, top, title) in enumerate(maps, start=len(shown)):
        axes = figure.add_subplot(grid[0, column])
        drawn = axes.imshow(values.cpu(), cmap="magma", vmin=0, vmax=top, interpolation="nearest")
        plain_axes(axes, title)
        bar = figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.03, ticks=(0, top))
        bar.ax.tick_params(labelsize=8, length=2)
        bar.outline.set_visible(False)
    return figure


def inversion_figure(query: Tensor, rows: Sequence[tuple[str, Sequence[tuple[str, Tensor]]]]) -> Figure:
    """Pre-images by layer: the query, then a row a method and a column a layer; titles are (label, image)."""
    columns = 1 + max(len(images) for _, images in rows)
    figure = blank_figure(2.3 * columns, 2.6 * len(rows))
    grid = figure.add_gridspec(len(rows), columns, left=0.01, right=0.99, wspace=0.06)
    for row, (name, images) in enumerate(rows):
        show_picture(figure.add_subplot(grid[row, 0]), query, f"query ({name})")
        for column, (label, image) in enumerate(images, start=1):
            show_picture(figure.add_subplot(grid[row, column]), image, label)
    return figure


def reliability_figure(bins: Mapping[str, Sequence[float]]) -> Figure:
    """Mean true loss and error rate in bins of the estimated loss; both rise for a good estimator."""
    figure = blank_figure(5.2, 3.6)
    axes = figure.add_axes((0.13, 0.15, 0.72, 0.73))
    other = axes.twinx()
    axes.plot(bins["estimated"], bins["true_loss"], "o-", color=AFTER)
    other.plot(bins["estimated"], bins["error_rate"], "s--", color=BEFORE)
    axes.set_xlabel("estimated loss (standard deviations)")
    axes.set_ylabel("true loss (nats)", color=AFTER)
    other.set_ylabel("error rate", color=MUTED)
    other.set_ylim(0, 1)
    axes.set_title("ten bins of equal count", fontsize=9.5, color=INK)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_whole(path, png(figure))


def png(figure: Figure, dpi: int = 110) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def blank_figure(width: float, height: float) -> Figure:
    """A figure of its own, without pyplot and its global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), facecolor="white")


def show_picture(axes: Axes, image: Tensor, title: str, size: float = 9.5) -> None:
    """An image under its title, without ticks or a frame."""
    axes.imshow(to_uint8(image), interpolation="lanczos")
    plain_axes(axes, title, size)


def _change(figure: Figure, axes: Axes, change: Tensor) -> None:
    values = change_values(change)
    scale = change_scale(values)
    drawn = axes.imshow(values, cmap="PuOr_r", vmin=-scale, vmax=scale, interpolation="nearest")
    plain_axes(axes, f"change, darker to lighter (±{scale:g})")
    bar = figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.03, ticks=(-scale, 0, scale))
    bar.ax.tick_params(labelsize=8, length=2, color=MUTED, labelcolor=MUTED)
    bar.outline.set_visible(False)


def _bars(axes: Axes, one: Edit) -> None:
    before, after = one.before.probabilities[0].tolist(), one.after.probabilities[0].tolist()
    shown = sorted(range(len(before)), key=lambda k: -max(before[k], after[k]))[:MOST_BARS]
    for place, k in enumerate(shown):
        axes.barh(place - 0.19, before[k], 0.34, color=BEFORE, label="query" if place == 0 else None)
        axes.barh(place + 0.19, after[k], 0.34, color=AFTER, label="counterfactual" if place == 0 else None)
    axes.set_yticks(range(len(shown)), [literal(one.classes[k]) for k in shown], fontsize=9, color=INK)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"), fontsize=8, color=MUTED)
    axes.set_title("probability", fontsize=9.5, color=INK)
    axes.legend(fontsize=7.5, frameon=False, loc="center right")
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def literal(text: str) -> str:
    r"""A name as it is: matplotlib reads formulas between dollars, and leaves out of legends what begins with `_`.

    Example:
        >>> literal("_$10"), literal("nv")
        (' _\\$10', 'nv')
    """
    return f"{' ' if text.startswith('_') else ''}{text}".replace("$", r"\$")


def plain_axes(axes: Axes, title: str, size: float = 9.5) -> None:
    """A title alone."""
    axes.set_title(literal(title), fontsize=size, color=INK)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
