"""Pictures of a comparison: the maps on one signed scale, the curves of swapping, the table as points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from cfexplain.attribution.comparison import BETTER, Comparison
from cfexplain.attribution.reference import CHANGE, EDGES, RANDOM, REFERENCES
from cfexplain.explanation.plot import INK, MUTED, blank_figure, change_values, literal, plain_axes, show_picture

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, TITLE = 6, 8.5
SCALE = "PuOr_r"
LABELS = {
    "rank_correlation": "rank correlation",
    "top_overlap": "top tenths overlap",
    "energy_inside": "energy inside the lesion",
    "pointing": "pointing game",
    "deletion": "deletion, area",
    "insertion": "insertion, area",
    "cout": "COUT",
    "sufficiency": "share that suffices",
    "necessity": "share that is necessary",
}


def maps_figure(comparison: Comparison) -> Figure:
    """Query, counterfactual, change and every map; two or more rows of pictures an image.

    The change and each map are divided by the 99.5 % quantile of their own magnitude, so that all share the scale
    from -1 to 1 of the one colour bar; the lesion's outline is drawn where it is known.
    """
    names = [name for name in comparison.heatmaps if name not in REFERENCES]
    lines = -(-(3 + len(names)) // COLUMNS)
    rows = lines * len(comparison)
    figure = blank_figure(2.2 * COLUMNS + 0.9, 2.55 * rows)
    grid = figure.add_gridspec(
        rows, COLUMNS + 1, width_ratios=(*(1,) * COLUMNS, 0.06),
        left=0.008, right=0.94, top=1 - 0.3 / (2.55 * rows), bottom=0.01, wspace=0.06, hspace=0.16,
    )  # fmt: skip
    for i, one in enumerate(comparison.counterfactual):
        axes = [figure.add_subplot(grid[i * lines + k // COLUMNS, k % COLUMNS]) for k in range(3 + len(names))]
        source, target = one.classes[int(one.source)], one.classes[int(one.target)]
        before, after = (
            float(p.probabilities[0, int(k)]) for p, k in ((one.before, one.source), (one.after, one.target))
        )
        show_picture(axes[0], one.query[0], f"query: {source} {before:.2f}", TITLE)
        kind = "counterfactual" if one.found[0] else one.status[0].value.replace("_", " ")
        show_picture(axes[1], one.image[0], f"{kind}: {target} {after:.2f}", TITLE)
        change = change_values(one.difference[0])
        drawn = _map(axes[2], change, one.mask, f"change (1 is {change_reach(change):.2g} lighter)")
        for axis, name in zip(axes[3:], names, strict=True):
            drawn = _map(axis, comparison.heatmaps[name][i].numpy(), one.mask, _title(comparison, i, name))
        bar = figure.colorbar(drawn, cax=figure.add_subplot(grid[i * lines, COLUMNS]), ticks=(-1, 0, 1))
        bar.ax.tick_params(labelsize=8, length=2, color=MUTED, labelcolor=MUTED)
        bar.set_label("1 is the map's 99.5 % quantile", fontsize=7.5, color=MUTED)
        bar.outline.set_visible(False)
    return figure


def curves_figure(comparison: Comparison, image: int = 0) -> Figure:
    """The source's probability while pixels are swapped, out of the query and back; a line a method."""
    figure = blank_figure(10.6, 3.9)
    left, right = (figure.add_axes((x, 0.15, 0.33, 0.73)) for x in (0.06, 0.44))
    source = comparison.counterfactual[image].classes[int(comparison.counterfactual[image].source)]
    for name in comparison.heatmaps:
        curve = comparison.swaps.get((image, name))
        if curve is not None:
            style = _style(name, list(comparison.heatmaps))
            left.plot(curve.shares, curve.deletion[:, 0], label=literal(shortened(name)), **style)
            right.plot(curve.shares, curve.insertion[:, 0], label=literal(shortened(name)), **style)
    titles = ("deletion: query to counterfactual", "insertion: counterfactual back to query")
    for axis, title in ((left, titles[0]), (right, titles[1])):
        axis.set_title(title, fontsize=9.5, color=INK)
        axis.set(xlabel="share of pixels swapped, the map's highest first", xlim=(0, 1), ylim=(-0.02, 1.02))
        _light(axis)
    left.set_ylabel(literal(f"probability of {source}"))
    if left.lines:
        figure.legend(*left.get_legend_handles_labels(), loc="center left", bbox_to_anchor=(0.785, 0.52),
                      fontsize=8, frameon=False)  # fmt: skip
    return figure


def methods_figure(summary: pd.DataFrame) -> Figure:
    """Every measure of every method: means and 95 % intervals over images; dotted is the random map's mean."""
    methods = list(dict.fromkeys(summary["method"]))
    known = [m for m in BETTER if summary.loc[summary["measure"] == m, "n"].sum() > 0]
    columns, height = 3, 0.62 + 0.2 * len(methods)
    lines = max(1, -(-len(known) // columns))
    figure = blank_figure(11.5, height * lines + 0.25)
    grid = figure.add_gridspec(
        lines, columns, left=0.2, right=0.985, top=1 - 0.33 / (height * lines + 0.25), bottom=0.3 / (height * lines),
        wspace=0.08, hspace=0.62 / height * 1.25,
    )  # fmt: skip
    for k, name in enumerate(known):
        axis = figure.add_subplot(grid[k // columns, k % columns])
        _points(axis, summary[summary["measure"] == name].set_index("method"), methods)
        for reference, dots in ((EDGES, "--"), (RANDOM, ":")):
            if reference in methods:
                axis.axvline(_mean(summary, name, reference), color=MUTED, linewidth=0.8, linestyle=dots)
        axis.set_title(f"{LABELS[name]} ({BETTER[name]} is better)", fontsize=9, color=INK)
        if k % columns:
            axis.set_yticklabels([])
    return figure


def change_reach(values: np.ndarray) -> float:
    """What is drawn as 1: the 99.5 % quantile of the magnitude, or the largest where most of a map is zero."""
    reach = float(np.quantile(np.abs(values), 0.995))
    return reach if reach > 0 else float(np.abs(values).max()) or 1.0


def _map(axes: Axes, values: np.ndarray, mask: Tensor | None, title: str) -> Any:
    drawn = axes.imshow(values / change_reach(values), cmap=SCALE, vmin=-1, vmax=1, interpolation="nearest")
    if mask is not None and 0 < float(mask.mean()) < 1:
        axes.contour(mask[0, 0].cpu().numpy(), levels=(0.5,), colors=(INK,), linewidths=0.6, alpha=0.7)
    plain_axes(axes, title, TITLE)
    return drawn


def _title(comparison: Comparison, image: int, name: str) -> str:
    rows = comparison.rows
    value = rows.loc[(rows["image"] == image) & (rows["method"] == name), "rank_correlation"].iloc[0]
    return f"{shortened(name)} (ρ {value:+.2f})"


def shortened(name: str) -> str:
    """A method's name as it fits over a picture."""
    return name.replace("integrated-gradients-", "int. grad., ").replace("integrated-gradients", "int. gradients")


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
    _light(axes)


def _mean(summary: pd.DataFrame, measure: str, method: str) -> float:
    return float(summary.loc[(summary["measure"] == measure) & (summary["method"] == method), "mean"].iloc[0])


def _style(name: str, names: Sequence[str]) -> dict[str, Any]:
    """A colour a method that is told apart without red and green; black and dashed grey for the references."""
    from matplotlib import colormaps

    if name == CHANGE:
        return {"color": INK, "linewidth": 2.2}
    if name in REFERENCES:
        return {"color": "0.55", "linestyle": "--" if name == EDGES else ":"}
    others = [n for n in names if n not in REFERENCES]
    place = others.index(name)
    return {
        "color": colormaps["viridis"](0.02 + 0.93 * place / max(1, len(others) - 1)),
        "linewidth": 1.2,
        "marker": "osv^Dx*P<>"[place % 10],
        "markersize": 3.5,
        "markevery": (place % 4, 4),
    }


def _light(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
