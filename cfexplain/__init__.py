"""cfexplain: the smallest natural change to an image that would change a classifier's mind.

The verbs: `explain`, `invert`, `wrap`, `load_images`. The values: `METHODS` and the methods by name.
Names are imported when they are first used, so that `import cfexplain` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfexplain.attribution import Comparison as Comparison
    from cfexplain.attribution import CounterfactualAttribution as CounterfactualAttribution
    from cfexplain.attribution import attribute as attribute
    from cfexplain.attribution import compare as compare
    from cfexplain.diverse import explain_diverse as explain_diverse
    from cfexplain.explanation import explain as explain
    from cfexplain.images import ImageError as ImageError
    from cfexplain.images import load_images as load_images
    from cfexplain.images import load_picture as load_picture
    from cfexplain.inversion import Inversion as Inversion
    from cfexplain.inversion import invert as invert
    from cfexplain.method import Insist as Insist
    from cfexplain.method import Method as Method
    from cfexplain.method import Stage as Stage
    from cfexplain.methods import DIP as DIP
    from cfexplain.methods import DIP_INVERSION as DIP_INVERSION
    from cfexplain.methods import DISC as DISC
    from cfexplain.methods import METHODS as METHODS
    from cfexplain.methods import NATURAL as NATURAL
    from cfexplain.methods import NATURAL_WARM as NATURAL_WARM
    from cfexplain.methods import PIXELS as PIXELS
    from cfexplain.methods import REGULARISED_DIP as REGULARISED_DIP
    from cfexplain.methods import TV as TV
    from cfexplain.methods import TV_INVERSION as TV_INVERSION
    from cfexplain.methods import WITHOUT_ESTIMATOR as WITHOUT_ESTIMATOR
    from cfexplain.metrics import METRICS as METRICS
    from cfexplain.metrics import evaluate as evaluate
    from cfexplain.objective import Objective as Objective
    from cfexplain.objective import ramp as ramp
    from cfexplain.objective import rising as rising
    from cfexplain.objective import total as total
    from cfexplain.result import Counterfactual as Counterfactual
    from cfexplain.shrink import Shrink as Shrink
    from cfexplain.solve import descend as descend
    from cfexplain.solve import minimise as minimise
    from cfexplain.types import Classifier as Classifier
    from cfexplain.types import Prediction as Prediction
    from cfexplain.types import Status as Status
    from cfexplain.views import Views as Views
    from cfexplain.wrapping import wrap as wrap

_HOME = {
    "attribution": ("Comparison", "CounterfactualAttribution", "attribute", "compare"),
    "diverse": ("explain_diverse",),
    "explanation": ("explain",),
    "inversion": ("Inversion", "invert"),
    "images": ("ImageError", "load_images", "load_picture"),
    "method": ("Insist", "Method", "Stage"),
    "methods": (
        "DIP",
        "DIP_INVERSION",
        "DISC",
        "METHODS",
        "NATURAL",
        "NATURAL_WARM",
        "PIXELS",
        "REGULARISED_DIP",
        "TV",
        "TV_INVERSION",
        "WITHOUT_ESTIMATOR",
    ),
    "metrics": ("METRICS", "evaluate"),
    "objective": ("Objective", "ramp", "rising", "total"),
    "result": ("Counterfactual",),
    "shrink": ("Shrink",),
    "solve": ("descend", "minimise"),
    "types": ("Classifier", "Prediction", "Status"),
    "views": ("Views",),
    "wrapping": ("wrap",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
