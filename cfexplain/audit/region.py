"""Where the change lies, and what each place of it does to the model's mind."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.classifier.checks import predict
from cfexplain.dermoscopy.artefacts import find_artefacts
from cfexplain.images import Square, resize
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier, Image

PLACES = ("lesion", "border", "skin")
BORDER = 0.05
"""Half the width of the band around the outline that counts as border, share of the picture's side."""

PRESENT = 0.003
"""Share of the picture from which an artefact counts as present: a hair across a tenth of it."""

Mask = Float[Tensor, "1 h w"]


def places(lesion: Mask) -> dict[str, Mask]:
    """Lesion, border and skin: three masks that part the picture, from the lesion's mask, shape (1, h, w)."""
    reach = max(1, round(BORDER * lesion.shape[-1]))
    inner, outer = 1 - _grown(1 - lesion, reach), _grown(lesion, reach)
    return {"lesion": inner, "border": outer - inner, "skin": 1 - outer}


def artefacts(picture: Image, result: Edit) -> tuple[dict[str, float], dict[str, Mask]]:
    """Artefacts of one picture: the share that each covers, and where it is before or after the edit.

    Args:
        picture: at its own resolution, where hairs can be seen.
        result: of the picture's square.

    Returns:
        `artefact.NAME` and `added.NAME`, shares of the square before, and how much more after; and masks of the
        square, one pixel wider than found, of what is present before or after.
    """
    size, frame = result.query.shape[-1], Square.of(*picture.shape[-2:])
    shown = frame.paste_change(picture, (result.image - result.query)[0].cpu())
    shares, masks = {}, {}
    before, after = find_artefacts(picture), find_artefacts(shown)
    for name in before:
        first, second = (resize(frame.crop(m[name])[None], size)[0] for m in (before, after))
        shares[f"artefact.{name}"] = float(first.mean())
        shares[f"added.{name}"] = float(second.mean() - first.mean())
        either = ((first > 0.25) | (second > 0.25)).float()
        if float(either.mean()) > PRESENT:
            masks[name] = _grown(either, 1)
    return shares, masks


def energy_shares(result: Edit, masks: Mapping[str, Mask]) -> dict[str, float]:
    """Share of the squared change of one image that lies in each mask."""
    energy = result.difference[0].square().sum(0, keepdim=True).cpu()
    whole = float(energy.sum().clamp_min(1e-12))
    return {name: float((energy * mask).sum()) / whole for name, mask in masks.items()}


def effects(result: Edit, classifier: Classifier, masks: Mapping[str, Mask]) -> dict[str, float]:
    """Share of the change of mind that the change within each mask brings alone.

    (m(query + change * mask) - m(query)) / (m(shown) - m(query)), where m is the target's logit less the source's.
    Not bounded by 0 and 1: changes work together, and one may hinder another.
    """
    query, change = result.query, result.image - result.query
    stack = torch.cat([query, result.image, *(query + change * mask.to(query) for mask in masks.values())])
    logits = predict(classifier, stack.clamp(0, 1)).logits
    margin = logits[:, int(result.target)] - logits[:, int(result.source)]
    gain = margin[1] - margin[0]
    if float(gain) <= 0:
        return {name: float("nan") for name in masks}
    return {name: float((m - margin[0]) / gain) for name, m in zip(masks, margin[2:], strict=True)}


def excess(result: Edit, classifier: Classifier, masks: Mapping[str, Mask]) -> dict[str, float]:
    """The effect of each mask less that of the same mask turned by half a turn, where it does not meet itself.

    A mask that covers half the lesion has an effect whatever it is of; what stays is due to what it lies on. What
    lies on both sides alike, as a dark surround does, has no other place to be compared with, and keeps its effect.
    """
    turned = {f"turned {name}": mask.flip(-1, -2) * (1 - mask) for name, mask in masks.items()}
    found = effects(result, classifier, {**masks, **turned})
    return {name: found[name] - found[f"turned {name}"] for name in masks}


def _grown(mask: Mask, pixels: int) -> Mask:
    """The mask with a rim of so many pixels."""
    return F.max_pool2d(mask[None], 2 * pixels + 1, stride=1, padding=pixels)[0]
