"""Pictures that only some explanations have, by file name; they go into `Explanation.figures`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cfexplain.explanation import plot
from cfexplain.explanation.explanation import SeedAgreement
from cfexplain.explanation.path import path_of
from cfexplain.images import paste_change, png_bytes
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier, Image, Status


def fullsize_figure(edit: Edit, picture: Image) -> dict[str, bytes]:
    """The change pasted into the picture at its own resolution: fullsize.png."""
    change = edit.image[0].cpu() - edit.query[0].cpu()
    return {"fullsize.png": png_bytes(paste_change(picture, change))}


def path_figures(edit: Edit, classifier: Classifier) -> dict[str, bytes]:
    """The path from the query to the counterfactual and beyond: path.gif, path.png; nothing without an edit."""
    if edit.status[0] is Status.ALREADY_TARGET:
        return {}
    path = path_of(edit, classifier)
    return {"path.gif": path.gif(), "path.png": plot.png(path.plot())}


def seed_figures(edits: Sequence[Edit], seeds: SeedAgreement | None) -> dict[str, bytes]:
    """Results of several seeds side by side, and where they agree: seeds.png; nothing where seeds were not compared."""
    if seeds is None:
        return {}
    floor = torch.zeros_like(seeds.agreement) if seeds.floor is None else seeds.floor
    return {"seeds.png": plot.png(plot.seeds_figure(edits, seeds.agreement, floor))}
