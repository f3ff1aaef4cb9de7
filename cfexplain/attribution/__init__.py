"""Attribution maps beside counterfactuals: captum's methods, ours as a captum method, and how far they agree.

Names are imported when they are first used: captum is needed by `CounterfactualAttribution` and `attribute` alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfexplain.attribution.comparison import Comparison as Comparison
    from cfexplain.attribution.comparison import compare as compare
    from cfexplain.attribution.counterfactual import CounterfactualAttribution as CounterfactualAttribution
    from cfexplain.attribution.heatmap import HEATMAPS as HEATMAPS
    from cfexplain.attribution.heatmap import attribute as attribute
    from cfexplain.attribution.logits import Logits as Logits

_MODULE = {
    "Comparison": "comparison",
    "CounterfactualAttribution": "counterfactual",
    "HEATMAPS": "heatmap",
    "Logits": "logits",
    "attribute": "heatmap",
    "compare": "comparison",
}
__all__ = ["HEATMAPS", "Comparison", "CounterfactualAttribution", "Logits", "attribute", "compare"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
