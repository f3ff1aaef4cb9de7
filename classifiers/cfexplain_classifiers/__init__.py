"""Classifiers with loss estimators: build, train, judge, save and load them, and fit an estimator to one you have."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfexplain_classifiers.checkpoint import Card as Card
    from cfexplain_classifiers.checkpoint import CheckpointError as CheckpointError
    from cfexplain_classifiers.checkpoint import load as load
    from cfexplain_classifiers.checkpoint import save as save
    from cfexplain_classifiers.duq import fit_centroids as fit_centroids
    from cfexplain_classifiers.estimator import LossEstimator as LossEstimator
    from cfexplain_classifiers.estimator import ranking_loss as ranking_loss
    from cfexplain_classifiers.fit import fit_estimator as fit_estimator
    from cfexplain_classifiers.folding import folded as folded
    from cfexplain_classifiers.judgement import Judgement as Judgement
    from cfexplain_classifiers.judgement import judge as judge
    from cfexplain_classifiers.network import Architecture as Architecture
    from cfexplain_classifiers.network import LesionClassifier as LesionClassifier
    from cfexplain_classifiers.training import Recipe as Recipe
    from cfexplain_classifiers.training import train as train

_HOME = {
    "Card": "checkpoint",
    "CheckpointError": "checkpoint",
    "load": "checkpoint",
    "save": "checkpoint",
    "LossEstimator": "estimator",
    "ranking_loss": "estimator",
    "fit_centroids": "duq",
    "fit_estimator": "fit",
    "folded": "folding",
    "Judgement": "judgement",
    "judge": "judgement",
    "Architecture": "network",
    "LesionClassifier": "network",
    "Recipe": "training",
    "train": "training",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
