"""Is a counterfactual a lesion's change, or a trick on one classifier? A word, and the evidence for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np

from cfexplain.metrics.oracle import believed
from cfexplain.metrics.place import high_frequency_share
from cfexplain.metrics.survival import survives
from cfexplain.result import Counterfactual
from cfexplain.types import Classifier

HIGH_FREQUENCY = 0.2
"""Share of the change's energy beyond half the Nyquist frequency from which it counts as noise."""


class Kind(str, Enum):
    """What a counterfactual is worth as an explanation."""

    SEMANTIC = "semantic"
    FRAGILE = "fragile"
    ADVERSARIAL = "adversarial"
    NONE = "none"

    @property
    def meaning(self) -> str:
        """One sentence for the person who reads it."""
        return _MEANING[self]


_MEANING = {
    Kind.SEMANTIC: "The flip survives ordinary damage, is no noise, and the independent classifiers asked see it too.",
    Kind.FRAGILE: "The flip survives ordinary damage but is not shared by the independent classifiers asked, or is "
    "shared but does not survive: it shows this model's view more than the lesion's.",
    Kind.ADVERSARIAL: "The change is noise aimed at this model, or neither survives nor convinces another: it "
    "explains the model's weakness, not the lesion.",
    Kind.NONE: "The prediction did not change, so there is nothing to judge.",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on one counterfactual.

    Attributes:
        kind: the word.
        survives: each ordinary damage, and all of them together, after which the target is still predicted.
        oracles: of each independent classifier: whether it was of the source's opinion before (`counted`), whether
            it sees the target now (`flipped`), and the gain in its probability of the target, None where it does
            not know that class.
        believed: share of the counted oracles that flip; None where none was asked or none counts.
        high_frequency_share: of the change's energy.
        naturalness: percentile of the estimated loss among held-out real images of the target class (50 is the
            middle, 95 stranger than nineteen in twenty); None without an estimator that knows its percentiles.
    """

    kind: Kind
    survives: Mapping[str, bool]
    oracles: Mapping[str, Mapping[str, Any]]
    believed: float | None
    high_frequency_share: float
    naturalness: float | None

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self) | {"kind": self.kind.value, "meaning": self.kind.meaning}


def judge_edits(
    result: Counterfactual,
    classifier: Classifier,
    oracles: Mapping[str, Classifier] | None = None,
    *,
    names: Mapping[str, Sequence[str]] | None = None,
) -> list[Verdict]:
    """Judge each counterfactual.

    - adversarial: most of the change is fine grain (`HIGH_FREQUENCY`), or the flip neither survives shift, blur,
      resizing and JPEG together nor convinces half of the oracles;
    - semantic: the flip survives them together, and at least half of the oracles that count share it;
    - fragile: anything else; so without an oracle that counts, nothing is called semantic.

    Args:
        result: what `explain` found.
        classifier: the explained one.
        oracles: independent classifiers by name, never optimised against.
        names: what an oracle calls the explained classifier's classes, in the order of its logits, where it uses
            other names.

    Source: ours. The evidence is that of Hvilshøj et al. 2021 (oracles) and of the literature on robustness.
    """
    damage = survives(result, classifier)
    grain = high_frequency_share(result)
    assert grain is not None
    beliefs = {k: believed(result, o, classes=(names or {}).get(k)) for k, o in (oracles or {}).items()}
    verdicts = []
    for i, found in enumerate(result.found):
        holds = {k: bool(v[i]) for k, v in damage.items()}
        seen = {
            k: {"counted": bool(b.counted[i]), "flipped": bool(b.flipped[i]), "gain": _known(float(b.gain[i]))}
            for k, b in beliefs.items()
        }
        votes = [bool(v["flipped"]) for v in seen.values() if v["counted"]]
        share = sum(votes) / len(votes) if votes else None
        kind = _kind(found, holds["together"], share, float(grain[i]))
        verdicts.append(Verdict(kind, holds, seen, share, float(grain[i]), _naturalness(result, classifier, i)))
    return verdicts


def _kind(found: bool, holds: bool, share: float | None, grain: float) -> Kind:
    convinced = share is not None and share >= 0.5
    if not found:
        return Kind.NONE
    if grain > HIGH_FREQUENCY or not (holds or convinced):
        return Kind.ADVERSARIAL
    return Kind.SEMANTIC if holds and convinced else Kind.FRAGILE


def _known(gain: float) -> float | None:
    return gain if math.isfinite(gain) else None


def _naturalness(result: Counterfactual, classifier: Classifier, i: int) -> float | None:
    """Percentile by linear interpolation between the quantiles that the classifier carries."""
    usual = getattr(classifier, "usual_loss", None)
    if usual is None or result.after.loss is None:
        return None
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    try:
        marks = [usual(int(result.target[i]), share) for share in shares]
    except ValueError:  # an estimator that was never measured on validation images
        return None
    return float(np.interp(float(result.after.loss[i]), marks, [100 * share for share in shares]))
