"""All artefacts of one picture."""

from __future__ import annotations

from collections.abc import Callable

from cfexplain.dermoscopy.artefacts.bubble import bubbles, spots_and_rings
from cfexplain.dermoscopy.artefacts.corner import corners, dark_corner
from cfexplain.dermoscopy.artefacts.hair import hair, hairs
from cfexplain.dermoscopy.artefacts.ink import ink, inked
from cfexplain.dermoscopy.artefacts.ruler import marks, ruler
from cfexplain.dermoscopy.artefacts.scene import Mask, Scene
from cfexplain.types import Image

ARTEFACTS: dict[str, Callable[[Image], Mask]] = {
    "hair": hair,
    "ruler": ruler,
    "ink": ink,
    "dark_corner": dark_corner,
    "bubbles": bubbles,
}
"""The finders by name."""


def find_artefacts(picture: Image, lesion: Mask | None = None) -> dict[str, Mask]:
    """All artefacts of one picture by the names of `ARTEFACTS`; none overlaps a dark corner.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.
        lesion: 1 on the lesion, shape (1, h, w); ink is then not looked for on it, where blue is pigment.

    Returns:
        Masks of zeros and ones, each (1, h, w).

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`; the mask has another size.

    Example:
        >>> sorted(name for name, mask in find_artefacts(torch.full((3, 64, 64), 0.7)).items() if mask.any())
        []

    Source: see the finders; how often they are right on HAM10000 is in experiments/results/artefacts/.
    """
    scene = Scene(picture)
    if lesion is not None and tuple(lesion.shape) != (1, *scene.size):
        raise ValueError(f"the mask must have shape (1, {scene.size[0]}, {scene.size[1]}), got {tuple(lesion.shape)}")
    corner = scene.mask(scene.once(corners))
    finders = {"hair": hairs, "ruler": marks, "ink": inked, "bubbles": spots_and_rings}
    masks = {name: scene.mask(scene.once(find)) * (1 - corner) for name, find in finders.items()}
    masks["dark_corner"] = corner
    if lesion is not None:
        masks["ink"] = masks["ink"] * (lesion.to(masks["ink"]) < 0.5)
    return {name: masks[name] for name in ARTEFACTS}
