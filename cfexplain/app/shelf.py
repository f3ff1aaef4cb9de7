"""The classifiers on offer, each loaded once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cfexplain.classifier.checks import check_classifier
from cfexplain.classifier.sources import licence_of, load_classifier, load_oracles
from cfexplain.types import Classifier


@dataclass(frozen=True, eq=False)
class Known:
    """A classifier that is loaded.

    Attributes:
        name: as it was asked for.
        classifier: on its device.
        oracles: independent classifiers for the verdict.
        licence: of a shipped classifier's weights; empty where it is not known.
    """

    name: str
    classifier: Classifier
    oracles: Mapping[str, Classifier]
    licence: str


class Shelf:
    """Classifiers by name, shared by all visits.

    Args:
        names: as in `cfexplain explain`; the first one is the default.
        device: auto, cpu, cuda, ...
    """

    def __init__(self, names: Sequence[str], device: str) -> None:
        if not names:
            raise ValueError("name at least one classifier")
        self.names, self.device = tuple(names), device
        self._known: dict[str, Known] = {}
        self._loading = threading.Lock()

    def load(self, name: str) -> Known:
        """One of the classifiers on offer, loaded once.

        Raises:
            ValueError: it is not on offer, or cannot be loaded.
        """
        if name not in self.names:
            raise ValueError(f"the classifier {name} is not on offer: choose {' or '.join(self.names)}")
        with self._loading:
            if name not in self._known:
                classifier = load_classifier(name, self.device)
                check_classifier(classifier)
                self._known[name] = Known(name, classifier, load_oracles((), name, classifier), licence_of(name) or "")
            return self._known[name]
