"""The files of a comparison: figures and numbers of each image, a table and a figure of the methods."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cfexplain import images as files
from cfexplain.attribution import figure
from cfexplain.attribution.comparison import Comparison, summary
from cfexplain.attribution.measures import BETTER, LABELS, REFERENCES
from cfexplain.attribution.methods import EIGHT, HEATMAPS
from cfexplain.explanation import plot
from cfexplain.explanation.record import NOTICE


def save_comparison(comparison: Comparison, folder: Path, image: str) -> None:
    """Write comparison.png, curves.png and comparison.json of one image into a folder."""
    edit = comparison.counterfactual
    folder.mkdir(parents=True, exist_ok=True)
    plot.save(comparison.plot(), folder / "comparison.png")
    if comparison.swaps:
        plot.save(figure.curves_figure(comparison), folder / "curves.png")
    source, target = (edit.classes[int(index)] for index in (edit.source, edit.target))
    head = {"image": image, "source": source, "target": target, "method": edit.method, "seed": edit.seed}
    _write(folder / "comparison.json", **head, status=edit.status[0].value, **to_json(comparison))


def save_summary(rows: pd.DataFrame, out: Path) -> None:
    """Write the measures of all images and their means: comparison.json, rows.csv, methods.csv, .md and .png.

    Args:
        rows: `Comparison.rows` of all comparisons, with the file names in the column image.
        out: an existing folder.
    """
    means = summary(rows)
    rows.to_csv(out / "rows.csv", index=False, float_format="%.6g")
    means.to_csv(out / "methods.csv", index=False, float_format="%.6g")
    files.write_whole(out / "methods.md", table(means).encode())
    plot.save(figure.methods_figure(means), out / "methods.png")
    _write(out / "comparison.json", images=rows["image"].nunique(), better=BETTER, summary=_records(means))


def named(text: str) -> tuple[str, ...]:
    """Methods from a comma-separated list; `all` is all of them, and an empty list the eight of `EIGHT`.

    Example:
        >>> named("gradcam, saliency")
        ('gradcam', 'saliency')

    Raises:
        ValueError: there is no such method.
    """
    if text == "all":
        return tuple(name for name in HEATMAPS if name != "deep-lift")
    listed = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) or EIGHT
    unknown = [name for name in listed if name not in HEATMAPS]
    if unknown:
        raise ValueError(f"there is no attribution method {unknown[0]}: use {', '.join(HEATMAPS)}")
    return listed


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Measures and curves of each image and method as plain values with six decimals."""
    rows = _records(comparison.rows)
    for row in rows:
        swap, row["curves"] = comparison.swaps.get((row["image"], row["method"])), None
        if swap is not None:
            curves = torch.cat([swap.shares[:, None], swap.deletion, swap.insertion], dim=1).double()
            names = ("share", "deletion_source", "deletion_target", "insertion_source", "insertion_target")
            row["curves"] = dict(zip(names, curves.T.round(decimals=6).tolist(), strict=True))
    return {"better": BETTER, "rows": rows}


def table(means: pd.DataFrame) -> str:
    """A summary as a Markdown table: a row per method, mean and interval of each measure."""
    measures = figure.measured(means)
    heads = [f"{LABELS[name]} ({'+' if BETTER[name] == 'higher' else '-'})" for name in measures]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (len(measures) + 1) + "|"]
    for method, rows in means.set_index("measure").groupby("method", sort=False):
        cells = [f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" for _, row in rows.loc[measures].iterrows()]
        lines.append(f"| {method} | {' | '.join('' if 'nan' in cell else cell for cell in cells)} |")
    return "\n".join([*lines, "", "Means with 95 % bootstrap intervals over images; + higher is better, - lower.", ""])


def sentence(comparison: Comparison, image: str) -> str:
    """One image in a sentence: the map that agrees most, and the one that finds the pixels that flip the model."""
    if not comparison.counterfactual.found[0]:
        return f"{image}: {comparison.counterfactual.status[0].advice}"
    rows = comparison.rows[~comparison.rows["method"].isin(REFERENCES)]
    best: Any = rows.sort_values("rank_correlation", ascending=False, kind="stable").iloc[0]
    first: Any = rows.sort_values("sufficiency", kind="stable").iloc[0]
    text = f"{image}: {best['method']} agrees most with the change (rank correlation {best['rank_correlation']:.2f})"
    if math.isnan(first["sufficiency"]):
        return f"{text}."
    return f"{text}; the top {first['sufficiency']:.0%} of {first['method']} suffices to flip the model."


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values with six decimals, None for NaN."""
    records: list[dict[str, Any]] = json.loads(rows.to_json(orient="records", double_precision=6))
    return records


def _write(path: Path, **values: Any) -> None:
    text = json.dumps(values | {"notice": NOTICE}, indent=2, allow_nan=False)
    files.write_whole(path, (text + "\n").encode())
