"""Figures of a comparison: the maps on one signed scale, the curves of swapping, the means of the methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor

from cfexplain.attribution.measures import BETTER, CHANGE, EDGES, LABELS, RANDOM, REFERENCES
from cfexplain.explanation.plot import INK, MUTED, blank_figure, change_values, literal, plain_axes, show_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cfexplain.attribution.comparison import Comparison

COLUMNS, TITLE, SCALE = 6, 8.5, "PuOr_r"


def maps_figure(comparison: Comparison) -> Figure:
    """Query, counterfactual, change and every map, in rows of six; two or more rows per image.

    The change and each map are divided by the 99.5 % quantile of their own magnitude: one colour bar serves all.
    """
    names = [name for name in comparison.heatmaps if name not in REFERENCES]
    correlation: Any = comparison.rows.set_index(["image", "method"])["rank_correlation"]
    lines = -(-(3 + len(names)) // COLUMNS)
    rows = lines * len(comparison.counterfactual)
    figure = blank_figure(2.2 * COLUMNS + 0.9, 2.55 * rows)
    grid = figure.add_gridspec(
        rows, COLUMNS + 1, width_ratios=(*(1,) * COLUMNS, 0.06),
        left=0.008, right=0.94, top=1 - 0.3 / (2.55 * rows), bottom=0.01, wspace=0.06, hspace=0.16,
    )  # fmt: skip
    for i, edit in enumerate(comparison.counterfactual):
        axes = [figure.add_subplot(grid[i * lines + k // COLUMNS, k % COLUMNS]) for k in range(3 + len(names))]
        source, target, change = int(edit.source), int(edit.target), change_values(edit.difference[0])
        kind = "counterfactual" if edit.found[0] else edit.status[0].value.replace("_", " ")
        before, after = edit.before.probabilities[0, source], edit.after.probabilities[0, target]
        show_picture(axes[0], edit.query[0], f"query: {edit.classes[source]} {before:.2f}", TITLE)
        show_picture(axes[1], edit.image[0], f"{kind}: {edit.classes[target]} {after:.2f}", TITLE)
        image = _draw_map(axes[2], change, edit.mask, f"change (1 is {_reach(change):.2g} lighter)")
        for axis, name in zip(axes[3:], names, strict=True):
            title = f"{shortened(name)} (ρ {correlation[i, name]:+.2f})"
            _draw_map(axis, comparison.heatmaps[name][i].numpy(), edit.mask, title)
        bar = figure.colorbar(image, cax=figure.add_subplot(grid[i * lines, COLUMNS]), ticks=(-1, 0, 1))
        bar.ax.tick_params(labelsize=8, length=2, color=MUTED, labelcolor=MUTED)
        bar.set_label("1 is the map's 99.5 % quantile", fontsize=7.5, color=MUTED)
        bar.outline.set_visible(False)
    return figure


def curves_figure(comparison: Comparison, image: int = 0) -> Figure:
    """The source's probability while pixels are swapped, out of the query and back; one line per method."""
    figure = blank_figure(10.6, 3.9)
    edit, names = comparison.counterfactual[image], list(comparison.heatmaps)
    left, right = (figure.add_axes((x, 0.15, 0.33, 0.73)) for x in (0.06, 0.44))
    for name in names:
        swap, style = comparison.swaps[image, name], _style(name, names)
        left.plot(swap.shares, swap.deletion[:, 0], label=literal(shortened(name)), **style)
        right.plot(swap.shares, swap.insertion[:, 0], **style)
    titles = ("deletion: query to counterfactual", "insertion: counterfactual back to query")
    for axis, title in zip((left, right), titles, strict=True):
        axis.set_title(title, fontsize=9.5, color=INK)
        axis.set(xlabel="share of pixels swapped, the map's highest first", xlim=(0, 1), ylim=(-0.02, 1.02))
        axis.spines[["top", "right"]].set_visible(False)
    left.set_ylabel(literal(f"probability of {edit.classes[int(edit.source)]}"))
    figure.legend(*left.get_legend_handles_labels(), loc="center left", bbox_to_anchor=(0.785, 0.52), fontsize=8,
                  frameon=False)  # fmt: skip
    return figure


def methods_figure(summary: pd.DataFrame) -> Figure:
    """Every measure of every method, mean and 95 % interval; lines mark the means of the edges and the random map."""
    methods, measures = list(summary["method"].unique()), measured(summary)
    columns, height = 3, 0.62 + 0.2 * len(methods)
    lines = max(1, -(-len(measures) // columns))
    figure = blank_figure(11.5, height * lines + 0.25)
    grid = figure.add_gridspec(
        lines, columns, left=0.2, right=0.985, top=1 - 0.33 / (height * lines + 0.25), bottom=0.3 / (height * lines),
        wspace=0.08, hspace=0.62 / height * 1.25,
    )  # fmt: skip
    for k, name in enumerate(measures):
        axis = figure.add_subplot(grid[k // columns, k % columns])
        rows = summary[summary["measure"] == name].set_index("method")
        _points(axis, rows, methods)
        for reference, dots in ((EDGES, "--"), (RANDOM, ":")):
            axis.axvline(rows["mean"][reference], color=MUTED, linewidth=0.8, linestyle=dots)
        axis.set_title(f"{LABELS[name]} ({BETTER[name]} is better)", fontsize=9, color=INK)
        axis.tick_params(labelleft=k % columns == 0)
    return figure


def measured(summary: pd.DataFrame) -> list[str]:
    """The measures that at least one image has."""
    counts = summary.groupby("measure")["n"].sum()
    return [name for name in BETTER if counts[name] > 0]


def shortened(name: str) -> str:
    """A method's name that fits into a title."""
    return name.replace("integrated-gradients-", "int. grad., ").replace("integrated-gradients", "int. gradients")


def _reach(values: np.ndarray) -> float:
    """The value drawn as 1: the 99.5 % quantile of the magnitude, or the maximum if most of a map is zero."""
    return float(np.quantile(np.abs(values), 0.995)) or float(np.abs(values).max()) or 1.0


def _draw_map(axes: Axes, values: np.ndarray, mask: Tensor | None, title: str) -> Any:
    image = axes.imshow(values / _reach(values), cmap=SCALE, vmin=-1, vmax=1, interpolation="nearest")
    if mask is not None and 0 < float(mask.mean()) < 1:
        axes.contour(mask[0, 0].cpu().numpy(), levels=(0.5,), colors=(INK,), linewidths=0.6, alpha=0.7)
    plain_axes(axes, title, TITLE)
    return image


def _points(axes: Axes, rows: pd.DataFrame, methods: Sequence[str]) -> None:
    for place, name in enumerate(methods):
        row: Any = rows.loc[name]
        colour = {CHANGE: INK, EDGES: MUTED, RANDOM: MUTED}.get(name, "#5e3c99")
        axes.plot((row["low"], row["high"]), (place, place), color=colour, linewidth=1.4)
        axes.plot(row["mean"], place, "o" if name not in REFERENCES else "D", color=colour, markersize=4)
    axes.set_yticks(range(len(methods)), [literal(m) for m in methods], fontsize=8, color=INK)
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=8, labelcolor=MUTED)
    axes.grid(axis="x", color="0.92")
    axes.spines[["top", "right"]].set_visible(False)


def _style(name: str, names: Sequence[str]) -> dict[str, Any]:
    """A colour per method, distinct to the colour-blind; black and grey for the references."""
    from matplotlib import colormaps

    if name == CHANGE:
        return {"color": INK, "linewidth": 2.2}
    if name in REFERENCES:
        return {"color": "0.55", "linestyle": "--" if name == EDGES else ":"}
    others = [n for n in names if n not in REFERENCES]
    place = others.index(name)
    colour = colormaps["viridis"](0.02 + 0.93 * place / max(1, len(others) - 1))
    marker = {"marker": "osv^Dx*P<>"[place % 10], "markersize": 3.5, "markevery": (place % 4, 4)}
    return {"color": colour, "linewidth": 1.2, **marker}
