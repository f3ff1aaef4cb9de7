"""Attribution maps compared with a counterfactual: agreement, swapped pixels, means over images with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.attribution import measures
from cfexplain.attribution.figure import maps_figure
from cfexplain.attribution.measures import BETTER, CHANGE, EDGES, RANDOM, REFERENCES, STEPS, Swap
from cfexplain.classifier.checks import check_classifier
from cfexplain.explanation.plot import png
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
        heatmaps: by method, shape (n, h, w), the three references included.
        rows: one row per image and method, one column per measure (see `BETTER`); NaN where it does not apply.
        swaps: the curves, by (image, method); empty without a classifier.
    """

    counterfactual: Edit
    heatmaps: Mapping[str, Float[Tensor, "n h w"]]
    rows: pd.DataFrame
    swaps: Mapping[tuple[int, str], Swap]

    def plot(self) -> Figure:
        """Query, counterfactual, change and every map on one signed scale, two or more rows per image."""
        return maps_figure(self)

    def _repr_png_(self) -> bytes:
        return png(self.plot())


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

    Magnitudes, because a counterfactual may change both what speaks for a class and what speaks against it; pass
    `heatmap.clamp(min=0)` to count only what speaks for it. `REFERENCES` are added.

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
                rows[-1] |= swaps[i, name].measures()
    return Comparison(counterfactual, maps, pd.DataFrame(rows, columns=["image", "method", "found", *BETTER]), swaps)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over images with 95 % percentile bootstrap intervals, one row per method and measure.

    Args:
        rows: as in `Comparison.rows`, of one or several comparisons.

    Returns:
        Columns method, measure, better, n (images that have the measure), mean, low and high.
    """
    return pd.DataFrame(
        {"method": method, "measure": name, "better": better} | asdict(bootstrap_mean(group[name].to_numpy(float)))
        for method, group in rows.groupby("method", sort=False)
        for name, better in BETTER.items()
    )


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
    randoms = [generator_for(query, seed, "random map") for query in edit.query.split(1)]
    noise = torch.stack([torch.rand(shape[1:], generator=rng) for rng in randoms])
    return maps | {EDGES: measures.edges(edit.query), RANDOM: noise}
