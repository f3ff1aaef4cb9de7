"""What there is to say about one explanation beside its metrics: a verdict, a readout, its seeds, its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from cfexplain import plot
from cfexplain.metrics.seeds import agreement_map, noise_floor, seed_agreement
from cfexplain.path import path_of
from cfexplain.readout import readout
from cfexplain.result import Counterfactual
from cfexplain.types import Classifier, Status
from cfexplain.verdict import judge_edits


def evidence(
    result: Counterfactual,
    classifier: Classifier,
    oracles: Mapping[str, Classifier] | None = None,
    *,
    others: Sequence[Counterfactual] = (),
) -> dict[str, Any]:
    """Verdict, readout and agreement of seeds of one explanation, as plain values for result.json.

    Args:
        result: of one image.
        classifier: the explained one.
        oracles: independent classifiers by name, for the verdict.
        others: the same question answered with other seeds.

    Returns:
        `verdict`, see `Verdict.to_dict`; `readout`, the lesion's ABCD before and after, and `words`, the largest
        of its changes in a sentence; with other seeds `seed_agreement`, the mean overlap of the strongest tenth of
        the change, and, where a generator painted them, `noise_floor`, the mean difference between two anchors of
        this image (intensity).
    """
    found: dict[str, Any] = {"verdict": judge_edits(result, classifier, oracles)[0].to_dict()}
    if result.status[0] is not Status.ALREADY_TARGET:
        mask = None if result.mask is None else result.mask[0]
        told = readout(result.query[0].cpu(), result.image[0].cpu(), None if mask is None else mask.cpu())
        names = (result.classes[int(result.source)], result.classes[int(result.target)])
        found |= {"words": told.words(*names, flipped=result.found[0]), "readout": told.numbers()}
    if others and result.status[0] is not Status.ALREADY_TARGET:
        every = [result, *others]
        found["seed_agreement"] = float(seed_agreement(every))
        if not torch.equal(result.anchor, result.query):
            found["noise_floor"] = float(noise_floor([r.anchor for r in every]).mean())
    return found


def draw(result: Counterfactual, classifier: Classifier, folder: Path, others: Sequence[Counterfactual] = ()) -> None:
    """The path as path.gif and path.png, and with other seeds their agreement as seeds.png."""
    if result.status[0] is Status.ALREADY_TARGET:
        return
    path = path_of(result, classifier)
    path.save_gif(folder / "path.gif")
    plot.save(path.plot(), folder / "path.png")
    if others:
        every = [result, *others]
        plot.save(
            plot.seeds_figure(every, agreement_map(every)[0, 0], noise_floor([r.anchor for r in every])[0, 0]),
            folder / "seeds.png",
        )
