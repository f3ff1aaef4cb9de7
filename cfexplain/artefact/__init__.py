"""What lies on a dermoscopic picture and is not skin: hair, ruler marks, ink, dark corners, gel bubbles."""

from cfexplain.artefact.bubble import bubbles as bubbles
from cfexplain.artefact.corner import dark_corner as dark_corner
from cfexplain.artefact.find import ARTEFACTS as ARTEFACTS
from cfexplain.artefact.find import find_artefacts as find_artefacts
from cfexplain.artefact.hair import hair as hair
from cfexplain.artefact.ink import ink as ink
from cfexplain.artefact.ruler import ruler as ruler

__all__ = ["ARTEFACTS", "bubbles", "dark_corner", "find_artefacts", "hair", "ink", "ruler"]
