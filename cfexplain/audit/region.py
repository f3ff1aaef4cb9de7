"""Where the change is, and how much of the flip each region causes."""

import math
from collections.abc import Mapping

import torch

from cfexplain.audit.row import Row
from cfexplain.classifier.checks import predict
from cfexplain.dermoscopy.artefacts import find_artefacts
from cfexplain.dermoscopy.skin_tone import ita, tone
from cfexplain.images import central_square, paste_change, resize, square
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier, Image, Mask

PLACES = ("lesion", "border", "skin")
BORDER = 0.05  # Half the width of the band around the outline, as a share of the image's side.
PRESENT = 0.003  # Share of the image from which an artefact is present: a hair across a tenth of it.


def by_region(picture: Image, edit: Edit, classifier: Classifier) -> Row:
    """Artefacts, skin tone and, if a counterfactual was found, the change and its effect by region.

    The edit is of the square of `picture`, which has its own resolution, in which hairs are visible.
    """
    assert edit.mask is not None
    lesion = edit.mask[0].cpu()
    before, added, masks = artefacts(picture, edit)
    angle = ita(square(picture, edit.query.shape[-1]), lesion)
    row: Row = {
        "artefact.*": before,
        "added.*": added,
        "ita": angle,
        "tone": None if math.isnan(angle) else tone(angle),
    }
    if not edit.found[0]:
        return row
    parts = places(lesion)
    return row | {
        "place.*": energy_shares(edit, parts),
        "area.*": {name: float(mask.mean()) for name, mask in parts.items()},
        "on.*": energy_shares(edit, masks),
        "effect.*": effects(edit, classifier, parts | masks),
        "excess.*": excess(edit, classifier, masks),
    }


def places(lesion: Mask) -> dict[str, Mask]:
    """Lesion, border and skin: three masks that partition the image, from the lesion's mask, shape (1, h, w)."""
    width = max(1, round(BORDER * lesion.shape[-1]))
    inner, outer = 1 - _dilated(1 - lesion, width), _dilated(lesion, width)
    return {"lesion": inner, "border": outer - inner, "skin": 1 - outer}


def artefacts(picture: Image, edit: Edit) -> tuple[dict[str, float], dict[str, float], dict[str, Mask]]:
    """Area of each artefact and its gain (shares of the square); masks, dilated by a pixel, of those ever present."""
    size, edited = edit.query.shape[-1], paste_change(picture, (edit.image - edit.query)[0].cpu())
    before, after = (
        {name: resize(central_square(mask)[None], size)[0] for name, mask in find_artefacts(image).items()}
        for image in (picture, edited)
    )
    areas = {name: float(mask.mean()) for name, mask in before.items()}
    gains = {name: float(mask.mean() - before[name].mean()) for name, mask in after.items()}
    present = {name: ((mask > 0.25) | (after[name] > 0.25)).float() for name, mask in before.items()}
    return areas, gains, {name: _dilated(mask, 1) for name, mask in present.items() if float(mask.mean()) > PRESENT}


def energy_shares(edit: Edit, masks: Mapping[str, Mask]) -> dict[str, float]:
    """Share of the squared change of one image within each mask."""
    energy = edit.difference[0].square().sum(0, keepdim=True).cpu()
    total = float(energy.sum().clamp_min(1e-12))
    return {name: float((energy * mask).sum()) / total for name, mask in masks.items()}


def effects(edit: Edit, classifier: Classifier, masks: Mapping[str, Mask]) -> dict[str, float]:
    """Share of the flip that the change within each mask causes alone.

    (m(query + change * mask) - m(query)) / (m(image) - m(query)), where m is the logit of the target less that of
    the source. Not bounded by 0 and 1, since changes in two regions may add to or hinder each other.
    """
    query, change = edit.query, edit.image - edit.query
    stack = torch.cat([query, edit.image, *(query + change * mask.to(query) for mask in masks.values())])
    logits = predict(classifier, stack.clamp(0, 1)).logits
    margin = logits[:, int(edit.target)] - logits[:, int(edit.source)]
    gain = margin[1] - margin[0]
    if float(gain) <= 0:
        return {name: math.nan for name in masks}
    return {name: float((m - margin[0]) / gain) for name, m in zip(masks, margin[2:], strict=True)}


def excess(edit: Edit, classifier: Classifier, masks: Mapping[str, Mask]) -> dict[str, float]:
    """The effect of each mask less that of the same mask rotated by 180 degrees, where the two do not overlap.

    Any mask over half the lesion has an effect; the excess is due to what this one covers. Where a mask lies on both
    sides alike, as a dark surround does, nothing is subtracted.
    """
    rotated = {f"rotated {name}": mask.flip(-1, -2) * (1 - mask) for name, mask in masks.items()}
    found = effects(edit, classifier, {**masks, **rotated})
    return {name: found[name] - found[f"rotated {name}"] for name in masks}


def _dilated(mask: Mask, pixels: int) -> Mask:
    return torch.nn.functional.max_pool2d(mask[None], 2 * pixels + 1, stride=1, padding=pixels)[0]
