"""Attribution maps compared with a counterfactual: rows of measures, means with intervals, figures and files."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain import images as files
from cfexplain.attribution import figure, measures
from cfexplain.attribution.measures import BETTER, CHANGE, EDGES, LABELS, RANDOM, REFERENCES, STEPS, Swap
from cfexplain.classifier.checks import check_classifier
from cfexplain.explanation import plot
from cfexplain.explanation.record import NOTICE
from cfexplain.generators.noise import generator_for
from cfexplain.search.edit import Edit
from cfexplain.search.explain import check_area
from cfexplain.statistics import bootstrap_mean
from cfexplain.types import Classifier

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Comparison:
    """Attribution maps beside counterfactuals; displays itself in a notebook.

    Attributes:
        counterfactual: with the lesion masks, if there are any.
        heatmaps: by method, the three references included.
        rows: one row per image and method, one column per measure (see `BETTER`); NaN where it does not apply.
        swaps: the curves, by (image, method); empty without a classifier.
    """

    counterfactual: Edit
    heatmaps: Mapping[str, Float[Tensor, "n h w"]]
    rows: pd.DataFrame
    swaps: Mapping[tuple[int, str], Swap]

    def plot(self) -> "Figure":
        """Query, counterfactual, change and every map on one signed scale."""
        return figure.maps_figure(self)

    def _repr_png_(self) -> bytes:
        return plot.png(self.plot())


def compare(
    counterfactual: Edit,
    heatmaps: Mapping[str, Float[Tensor, "n h w"]],
    masks: Float[Tensor, "n 1 h w"] | None = None,
    *,
    classifier: Classifier | None = None,
    steps: int = STEPS,
    seed: int = 0,
) -> Comparison:
    """Compare the magnitude of attribution maps with the change of a counterfactual and the lesion, and swap pixels.

    Pass `heatmap.clamp(min=0)` to count only what speaks for the class. The maps of `REFERENCES` are added.

    Args:
        counterfactual: of n images.
        heatmaps: maps by method, shape (n, h, w) each, as returned by `attribute`; channels (n, c, h, w) are summed.
        masks: 1 on the lesion; by default those of the counterfactual. `energy_inside` and `pointing` need them.
        classifier: the explained one, for the measures by swapping; they need a counterfactual that was found.
        steps: of the curves.
        seed: of the random maps, which depend only on it and on the image.

    Raises:
        ValueError: maps or masks do not have the images' shape, or hold undefined values.

    Example:
        >>> import cfexplain, cfexplain_classifiers
        >>> classifier, images = cfexplain_classifiers.load("synthetic"), torch.full((1, 3, 64, 64), 0.6)
        >>> result = cfexplain.explain(classifier, images, method=cfexplain.PIXELS)
        >>> maps = {"saliency": cfexplain.attribute(classifier, images, using="saliency")}
        >>> list(compare(result, maps).rows["method"])
        ['counterfactual change', 'saliency', 'edges', 'random']
    """
    if classifier is not None:
        check_classifier(classifier)
    if masks is not None:
        check_area("masks", masks, counterfactual.query)
        counterfactual = replace(counterfactual, mask=masks.to(counterfactual.query))
    maps = _with_references(counterfactual, heatmaps, seed)
    rows: list[dict[str, Any]] = []
    swaps: dict[tuple[int, str], Swap] = {}
    for i, edit in enumerate(counterfactual):
        for name, values in maps.items():
            rows.append({"image": i, "method": name, "found": edit.found[0]} | measures.agreement(edit, values[i]))
            if classifier is not None and edit.found[0]:
                swaps[i, name] = measures.swap(classifier, edit, values[i], steps=steps)
                rows[-1] |= swaps[i, name].measures
    return Comparison(counterfactual, maps, pd.DataFrame(rows, columns=["image", "method", "found", *BETTER]), swaps)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of `Comparison.rows` over images with 95 % bootstrap intervals, one row per method and measure.

    Its columns are method, measure, better, n (images that have the measure), mean, low and high.
    """
    return pd.DataFrame(
        {"method": method, "measure": name, "better": better} | asdict(bootstrap_mean(group[name].to_numpy(float)))
        for method, group in rows.groupby("method", sort=False)
        for name, better in BETTER.items()
    )


def save_comparison(comparison: Comparison, folder: Path, image: str) -> None:
    """Write comparison.png, curves.png and comparison.json of one image into a folder."""
    edit = comparison.counterfactual
    folder.mkdir(parents=True, exist_ok=True)
    plot.save(comparison.plot(), folder / "comparison.png")
    if comparison.swaps:
        plot.save(figure.curves_figure(comparison), folder / "curves.png")
    source, target = (edit.classes[int(index)] for index in (edit.source, edit.target))
    head = {"image": image, "source": source, "target": target, "method": edit.method, "seed": edit.seed}
    rows = _records(comparison.rows)
    for row in rows:
        swap, row["curves"] = comparison.swaps.get((row["image"], row["method"])), None
        if swap is not None:
            curves = torch.cat([swap.shares[:, None], swap.deletion, swap.insertion], dim=1).double()
            names = ("share", "deletion_source", "deletion_target", "insertion_source", "insertion_target")
            row["curves"] = dict(zip(names, curves.T.round(decimals=6).tolist(), strict=True))
    _write(folder / "comparison.json", **head, status=edit.status[0].value, better=BETTER, rows=rows)


def save_summary(rows: pd.DataFrame, out: Path) -> None:
    """Write the rows of all comparisons and their means: comparison.json, rows.csv, methods.csv, .md and .png."""
    means = summary(rows)
    rows.to_csv(out / "rows.csv", index=False, float_format="%.6g")
    means.to_csv(out / "methods.csv", index=False, float_format="%.6g")
    files.write_whole(out / "methods.md", table(means).encode())
    plot.save(figure.methods_figure(means), out / "methods.png")
    _write(out / "comparison.json", images=rows["image"].nunique(), better=BETTER, summary=_records(means))


def table(means: pd.DataFrame) -> str:
    """A summary as a Markdown table: a row per method, mean and interval of each measure."""
    measured = figure.measured(means)
    heads = [f"{LABELS[name]} ({'+' if BETTER[name] == 'higher' else '-'})" for name in measured]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (len(measured) + 1) + "|"]
    for method, rows in means.set_index("measure").groupby("method", sort=False):
        cells = [f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" for _, row in rows.loc[measured].iterrows()]
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
    return json.loads(rows.to_json(orient="records", double_precision=6))  # type: ignore[no-any-return]


def _write(path: Path, **values: Any) -> None:
    files.write_whole(path, f"{json.dumps(values | {'notice': NOTICE}, indent=2, allow_nan=False)}\n".encode())


def _with_references(edit: Edit, heatmaps: Mapping[str, Tensor], seed: int) -> dict[str, Float[Tensor, "n h w"]]:
    """Check the maps, move them to the CPU and add the references."""
    shape = (len(edit), *edit.query.shape[-2:])
    maps = {CHANGE: torch.stack([measures.magnitude(change) for change in edit.difference.detach().float().cpu()])}
    for name, values in heatmaps.items():
        flat = values.detach().float().cpu()
        maps[name] = flat.sum(1) if flat.ndim == 4 else flat
        if name in REFERENCES:
            raise ValueError(f"a reference has the name {name} already: give the map another")
        if maps[name].shape != shape:
            raise ValueError(f"the map {name} must have shape {shape}, got {tuple(maps[name].shape)}")
        if not bool(maps[name].isfinite().all()):
            raise ValueError(f"the map {name} holds infinite or undefined values")
    noise = [torch.rand(shape[1:], generator=generator_for(one, seed, "random map")) for one in edit.query.split(1)]
    return maps | {EDGES: measures.edges(edit.query), RANDOM: torch.stack(noise)}
