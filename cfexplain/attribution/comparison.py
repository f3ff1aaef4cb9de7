"""Attribution maps compared with what the counterfactual shows: agreement, swapping, intervals over images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.attribution.agreement import agreement, magnitude
from cfexplain.attribution.reference import CHANGE, EDGES, RANDOM, REFERENCES, edges, noise
from cfexplain.attribution.swap import STEPS, Swap, swap
from cfexplain.classifier.checks import check_classifier
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BETTER = {
    "rank_correlation": "higher",
    "top_overlap": "higher",
    "energy_inside": "higher",
    "pointing": "higher",
    "deletion": "lower",
    "insertion": "higher",
    "cout": "higher",
    "sufficiency": "lower",
    "necessity": "lower",
}
"""Which direction is better of each measure, in the order of the columns."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Heat maps beside counterfactuals; shows itself in a notebook.

    Attributes:
        counterfactual: with the masks, where there are some.
        heatmaps: by method, shape (n, h, w); the three references are among them.
        rows: one row an image and a method, a column a measure (see `BETTER`); missing where it does not apply.
        swaps: the curves, by (image, method); empty without a classifier.
    """

    counterfactual: Edit
    heatmaps: Mapping[str, Float[Tensor, "n h w"]]
    rows: pd.DataFrame
    swaps: Mapping[tuple[int, str], Swap]

    def __len__(self) -> int:
        return len(self.counterfactual)

    def summary(self, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
        """Means over images with 95 % bootstrap intervals, see `summary`."""
        return summary(self.rows, draws=draws, seed=seed)

    def plot(self) -> Figure:
        """Query, counterfactual, change and every map on one signed scale; a row an image."""
        from cfexplain.attribution import figure

        return figure.maps_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for comparison.json: measures and curves of each image and method."""
        rows = self.rows.astype(object).where(self.rows.notna(), None).to_dict("records")
        for row in rows:
            curve = self.swaps.get((row["image"], row["method"]))
            row["curves"] = None if curve is None else curve.to_dict()
        return {"better": BETTER, "rows": rows}

    def _repr_png_(self) -> bytes:
        from cfexplain.explanation import plot

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
    """Compare attribution maps with the counterfactual's change, with the lesion, and by swapping pixels.

    Maps are compared by magnitude, since a counterfactual may change what speaks for a class and what speaks
    against it; give `heatmap.clamp(min=0)` to count only what speaks for it. Three references are added: the change
    itself, the edges of the picture and a random map.

    Args:
        counterfactual: of n images.
        heatmaps: maps by method, shape (n, h, w) each, as `attribute` gives them; channels (n, c, h, w) are summed.
        masks: 1 on the lesion; those of the counterfactual by default. Without any, `energy_inside` and `pointing`
            are missing.
        classifier: the explained one; without it deletion, insertion, COUT, sufficiency and necessity are missing,
            and so they are of an image without a counterfactual.
        steps: of the curves.
        seed: of the random map, which depends on it and on the image alone.

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
        _check_masks(masks, counterfactual)
        counterfactual = replace(counterfactual, mask=masks.to(counterfactual.query))
    maps = _with_references(counterfactual, heatmaps, seed)
    rows, swaps = [], {}
    for i, one in enumerate(counterfactual):
        for name, values in maps.items():
            row = {"image": i, "method": name, "found": one.found[0]} | agreement(one, values[i])
            if classifier is not None and one.found[0]:
                swaps[i, name] = swap(classifier, one, values[i], steps=steps)
                row |= swaps[i, name].measures()
            rows.append(dict.fromkeys(("image", "method", "found", *BETTER), math.nan) | row)
    import pandas as pd

    return Comparison(counterfactual, maps, pd.DataFrame(rows), swaps)


def summary(rows: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Means over images with 95 % percentile bootstrap intervals; one row a method and a measure.

    Args:
        rows: as in `Comparison.rows`, of one or several comparisons; images are drawn, whatever names them.
        draws: of the bootstrap.
        seed: of the draws; methods are drawn alike, so that they can be compared.

    Returns:
        Columns method, measure, better, n (images that have the measure), mean, low and high.
    """
    import pandas as pd

    found = [
        {"method": method, "measure": name, "better": better} | interval(own[name].to_numpy(float), draws, seed)
        for method, own in rows.groupby("method", sort=False)
        for name, better in BETTER.items()
    ]
    return pd.DataFrame(found)


def interval(values: np.ndarray, draws: int = 2000, seed: int = 0) -> dict[str, float]:
    """A mean with its 95 % percentile bootstrap; missing values are left out, and counted in n.

    Example:
        >>> interval(np.array([1.0, 1.0, float("nan")]))
        {'n': 2, 'mean': 1.0, 'low': 1.0, 'high': 1.0}
    """
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return {"n": 0, "mean": math.nan, "low": math.nan, "high": math.nan}
    means = known[np.random.default_rng(seed).integers(len(known), size=(draws, len(known)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"n": len(known), "mean": float(known.mean()), "low": float(low), "high": float(high)}


def _with_references(
    counterfactual: Edit, heatmaps: Mapping[str, Tensor], seed: int
) -> dict[str, Float[Tensor, "n h w"]]:
    """The maps checked, on the processor, between the references."""
    size = counterfactual.query.shape[-2:]
    maps = {CHANGE: torch.stack([magnitude(change) for change in counterfactual.difference.detach().float().cpu()])}
    for name, values in heatmaps.items():
        if name in REFERENCES:
            raise ValueError(f"a reference has the name {name} already: give the map another")
        flat = values.detach().float().cpu()
        flat = flat.sum(1) if flat.ndim == 4 else flat
        if flat.shape != (len(counterfactual), *size):
            raise ValueError(f"the map {name} must have shape {(len(counterfactual), *size)}, got {tuple(flat.shape)}")
        if not bool(flat.isfinite().all()):
            raise ValueError(f"the map {name} holds infinite or undefined values")
        maps[name] = flat
    return maps | {EDGES: edges(counterfactual.query), RANDOM: noise(counterfactual.query, seed)}


def _check_masks(masks: Tensor, counterfactual: Edit) -> None:
    wanted = (len(counterfactual), 1, *counterfactual.query.shape[-2:])
    if tuple(masks.shape) != wanted:
        raise ValueError(f"masks must have shape {wanted}, got {tuple(masks.shape)}")
