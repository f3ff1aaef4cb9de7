"""Hairs on a picture."""

from __future__ import annotations

from cfexplain.dermoscopy.artefacts.bubble import rings
from cfexplain.dermoscopy.artefacts.ink import inked
from cfexplain.dermoscopy.artefacts.line import thin_lines
from cfexplain.dermoscopy.artefacts.ruler import marks
from cfexplain.dermoscopy.artefacts.scene import Mask, Scene, dilated
from cfexplain.dermoscopy.segment import Array
from cfexplain.types import Image


def hair(picture: Image) -> Mask:
    """Hairs, dark or light: 1 on them, 0 elsewhere, shape (1, h, w).

    A black-hat of the brightest channel (a top-hat of the darkest, for light hair) keeps what is narrower than
    `WIDEST_HAIR`; its mean along the best of `ANGLES` directions, less its mean over all of them, keeps what is long
    and straight, which the meshes of a pigment network are not. A part must stand out from the grain of its
    surroundings; of the connected parts, long and thin ones remain. Ruler marks, ink and round bubbles are taken out.

    Limits: stubble shorter than 0.04 of the longer side, single faint hairs, and the inside of dense tufts are missed;
    scratches on the glass, which are white lines too, and meshes wider than 0.04 of the side count as hair.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`.

    Example:
        >>> skin = torch.full((3, 90, 120), 0.8)
        >>> skin[:, 40:42, 10:100] = 0.2
        >>> found = hair(skin)
        >>> float(found[0, 40, 50]), float(found[0, 20, 50])
        (1.0, 0.0)

    Source: T. Lee et al., "DullRazor", Comput. Biol. Med. 27, 1997, for the closing; the rest is ours, measured by
    experiments/artefacts.py.
    """
    scene = Scene(picture)
    return scene.mask(hairs(scene))


def hairs(scene: Scene) -> Array:
    """True on hairs."""
    other = dilated(scene.once(marks), scene.pixels(0.03)) | dilated(scene.once(inked), scene.pixels(0.02))
    return scene.once(thin_lines) & ~scene.once(rings) & ~other
