"""What lies on a dermoscopic picture and is not skin: hair, ruler marks, ink, dark corners, gel bubbles."""

from cfexplain.dermoscopy.artefacts.bubble import bubbles as bubbles
from cfexplain.dermoscopy.artefacts.corner import dark_corner as dark_corner
from cfexplain.dermoscopy.artefacts.find import ARTEFACTS as ARTEFACTS
from cfexplain.dermoscopy.artefacts.find import find_artefacts as find_artefacts
from cfexplain.dermoscopy.artefacts.hair import hair as hair
from cfexplain.dermoscopy.artefacts.ink import ink as ink
from cfexplain.dermoscopy.artefacts.ruler import ruler as ruler

__all__ = ["ARTEFACTS", "bubbles", "dark_corner", "find_artefacts", "hair", "ink", "ruler"]
