"""Somebody's classifier with something added; it answers as before."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from cfexplain.types import Classifier, Images, Prediction


class Extended:
    """A classifier that passes every question on to another; what is added is up to the class that inherits."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    @property
    def classes(self) -> Sequence[str]:
        """Names in the order of the logits."""
        return self.classifier.classes

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.classifier.image_size

    @property
    def module(self) -> nn.Module:
        """The network."""
        module: nn.Module = self.classifier.module  # type: ignore[attr-defined]
        return module

    @property
    def tap_names(self) -> Sequence[str]:
        """Names of the layers whose outputs are the features, where they are known."""
        names: Sequence[str] = getattr(self.classifier, "tap_names", ())
        return names

    def usual_loss(self, index: int, share: float = 0.5) -> float:
        """Estimated loss below which this share of the correctly classified images of a class lies.

        Raises:
            ValueError: the classifier has no loss estimator.
        """
        usual = getattr(self.classifier, "usual_loss", None)
        if usual is None:
            raise ValueError("the classifier has no loss estimator: fit one first (fit_estimator)")
        return float(usual(index, share))

    def __call__(self, images: Images, /) -> Prediction:
        """Predict."""
        return self.classifier(images)
