"""Plots of an audit as SVG that takes the page's colours, light or dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Mapping[str, str] = {
    "#010101": "currentColor",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--semantic)",
    "#050505": "var(--fragile)",
    "#060606": "var(--adversarial)",
    "#070707": "var(--none)",
}
"""What stands in a figure for a colour of the page."""

INK, MUTED, LINE = "#010101", "#020202", "#030303"
VERDICT_COLOURS = {"semantic": "#040404", "fragile": "#050505", "adversarial": "#060606", "none": "#070707"}
MARKERS = {"semantic": "o", "fragile": "s", "adversarial": "X", "none": "v"}
MOST_POINTS = 1500
TALL = 0.25


def axis_of(values: Sequence[float | None]) -> tuple[float, float]:
    """Ends of an axis that holds these values: 0 to 1 for shares, else round numbers around them.

    Example:
        >>> axis_of([0.2, 0.9]), axis_of([-3.2, 14.0])
        ((0.0, 1.0), (-5.0, 15.0))
    """
    seen = [v for v in values if v is not None and math.isfinite(v)]
    if not any(seen) or (min(seen) >= 0 and max(seen) <= 1 and max(seen) > TALL):
        return 0.0, 1.0
    low, high = min(0.0, *seen), max(0.0, *seen)
    step = _step((high - low) or 1.0)
    return math.floor(low / step - 1e-9) * step if low < 0 else 0.0, math.ceil(high / step - 1e-9) * step or step


def change_and_certainty(rows: pd.DataFrame) -> Markup | None:
    """How sure the model was against how much had to change, a point a question, by verdict; None without numbers."""
    size = "metric.root_mean_square_change" if "metric.root_mean_square_change" in rows else "metric.mean_change"
    if not {"margin", size, "verdict"} <= set(rows):
        return None
    seen = rows.dropna(subset=["margin", size, "verdict"]).head(MOST_POINTS)
    if len(seen) < 3:
        return None
    figure = _figure(6.2, 3.5)
    axes = figure.add_axes((0.12, 0.17, 0.86, 0.7))
    area = max(13.0, min(45.0, 9000 / len(seen)))
    for verdict, colour in VERDICT_COLOURS.items():
        own = seen[seen["verdict"] == verdict]
        if len(own):
            label, marker = f"{verdict} ({len(own)})", MARKERS[verdict]
            axes.scatter(
                own["margin"], own[size], s=area, c=colour, marker=marker, alpha=0.55, linewidths=0, label=label
            )
    axes.set_xlabel("margin before: p of the first class - p of the second", color=MUTED)
    axes.set_ylabel("size of the change, rms", color=MUTED)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, 1)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, frameon=False, labelcolor=INK, fontsize=9,
                handletextpad=0.2, columnspacing=1.2, markerscale=1.6)  # fmt: skip
    _quiet(axes)
    return _svg(figure, "certainty", "Points: margin before against size of the change, one colour a verdict.")


def change_on_lesion(rows: pd.DataFrame) -> Markup | None:
    """How much of the change lies on the lesion, a stacked histogram by verdict; None without numbers."""
    from matplotlib.ticker import MaxNLocator

    if not {"metric.inside_lesion", "verdict"} <= set(rows):
        return None
    share = rows["metric.inside_lesion"]
    seen = {v: share[rows["verdict"] == v].dropna().clip(0, 1) for v in VERDICT_COLOURS}
    used = {v: values for v, values in seen.items() if len(values)}
    if sum(len(values) for values in used.values()) < 3:
        return None
    figure = _figure(6.2, 3.5)
    axes = figure.add_axes((0.12, 0.17, 0.86, 0.7))
    axes.hist(list(used.values()), bins=[k / 20 for k in range(21)], stacked=True,
              color=[VERDICT_COLOURS[v] for v in used], rwidth=0.9, alpha=0.85,
              label=[f"{v} ({len(values)})" for v, values in used.items()])  # fmt: skip
    axes.set_xlabel("share of the change on the lesion", color=MUTED)
    axes.set_ylabel("questions", color=MUTED)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0, 1)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, frameon=False, labelcolor=INK, fontsize=9,
                handletextpad=0.4, columnspacing=1.2, handlelength=1)  # fmt: skip
    _quiet(axes)
    return _svg(figure, "lesion", "Histogram: share of the change on the lesion or its border, by verdict.")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="none")
    FigureCanvasSVG(figure)
    return figure


def _quiet(axes: Axes) -> None:
    """Few lines, in the page's colours."""
    axes.set_facecolor("none")
    axes.tick_params(length=0, labelcolor=MUTED, labelsize=9)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _svg(figure: Figure, name: str, words: str) -> Markup:
    """A figure as SVG with a name for those who cannot see it; text stays text."""
    import matplotlib
    from markupsafe import Markup, escape

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for stands, colour in COLOURS.items():
        text = text.replace(stands, colour)
    used = set(re.findall(r"#([\w.-]+)[\")]", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: (\d+)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    text = re.sub(r'(<svg[^>]*?) xmlns:xlink="[^"]*"', r"\1", text).replace("xlink:href", "href")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r"\1", text))
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(words)}"', 1))


def _step(span: float) -> float:
    """A round step that parts a span into about five."""
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(power * k for k in (1, 2, 5, 10) if power * k * 5 >= span)


def bar(value: Any, axis: tuple[float, float]) -> float:
    """Where a value lies on an axis, in percent, kept inside of it."""
    low, high = axis
    return 100 * min(1.0, max(0.0, (float(value) - low) / (high - low)))
