"""Hairs."""

from __future__ import annotations

from cfexplain.dermoscopy.artefacts.bubble import rings
from cfexplain.dermoscopy.artefacts.ink import ink
from cfexplain.dermoscopy.artefacts.line import thin_lines
from cfexplain.dermoscopy.artefacts.ruler import ruler
from cfexplain.dermoscopy.artefacts.scene import Scene, dilated
from cfexplain.dermoscopy.segment import Array


def hair(scene: Scene) -> Array:
    """True on hairs, dark or light.

    A black-hat of the brightest channel (a top-hat of the darkest, for light hair) keeps what is narrower than
    `WIDEST_HAIR`. Its mean along the best of `ANGLES` directions, minus its mean over all of them, keeps what is long
    and straight, which a pigment network is not. A component must stand out from the grain of its surroundings; long
    and thin ones remain. Ruler marks, ink and round bubbles are excluded.

    Limits: stubble shorter than 0.04 of the longer side, single faint hairs, and the inside of dense tufts are missed;
    scratches on the glass, which are white lines too, and networks wider than 0.04 of the side count as hair.

    Source: T. Lee et al., "DullRazor", Comput. Biol. Med. 27, 1997, for the closing; the rest is ours, measured by
    experiments/artefacts.py.
    """
    other = dilated(ruler(scene), scene.pixels(0.03)) | dilated(ink(scene), scene.pixels(0.02))
    return thin_lines(scene) & ~rings(scene) & ~other
