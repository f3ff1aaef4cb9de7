"""Artefacts of dermoscopic images: hair, ruler marks, ink, dark corners, gel bubbles."""

from __future__ import annotations

from cfexplain.dermoscopy.artefacts.bubble import bubbles
from cfexplain.dermoscopy.artefacts.corner import corners
from cfexplain.dermoscopy.artefacts.hair import hair
from cfexplain.dermoscopy.artefacts.ink import ink
from cfexplain.dermoscopy.artefacts.ruler import ruler
from cfexplain.dermoscopy.artefacts.scene import Finder, Mask, Scene
from cfexplain.dermoscopy.segment import as_mask
from cfexplain.types import Image

ARTEFACTS: dict[str, Finder] = {"hair": hair, "ruler": ruler, "ink": ink, "dark_corner": corners, "bubbles": bubbles}
"""The finders by name."""


def find_artefacts(image: Image, lesion: Mask | None = None) -> dict[str, Mask]:
    """Find all artefacts of one image, by the names of `ARTEFACTS`; none overlaps a dark corner.

    Args:
        image: RGB in [0, 1], shape (3, h, w), any size.
        lesion: 1 on the lesion, shape (1, h, w); ink on it is then ignored, because blue there is pigment.

    Returns:
        Masks of zeros and ones, each (1, h, w).

    Raises:
        TypeError, ValueError: not an image, see `check_images`; the mask has another size.

    Example:
        >>> skin = torch.full((3, 90, 120), 0.8)
        >>> skin[:, 40:42, 10:100] = 0.2
        >>> masks = find_artefacts(skin)
        >>> [name for name, mask in masks.items() if mask.any()]
        ['hair']

    Source: see the finders; experiments/results/artefacts/ says how often they are right on HAM10000.
    """
    scene = Scene(image)
    masks = {name: scene.mask(find(scene)) for name, find in ARTEFACTS.items()}
    masks |= {name: masks[name] * (1 - masks["dark_corner"]) for name in masks if name != "dark_corner"}
    if lesion is not None:
        masks["ink"][0, as_mask(lesion, image)] = 0
    return masks
