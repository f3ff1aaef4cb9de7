"""Is a counterfactual evidence about the lesion, or a weakness of one classifier? The verdict and what it rests on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from cfexplain.explanation.metrics.oracle import ask_oracle
from cfexplain.explanation.metrics.place import high_frequency_share
from cfexplain.explanation.metrics.robustness import robustness
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier

HIGH_FREQUENCY = 0.2  # Share of the change's energy beyond half of Nyquist's frequency from which it counts as noise.


class Kind(str, Enum):
    """What a counterfactual is worth as an explanation."""

    SEMANTIC = "semantic"
    UNCONFIRMED = "unconfirmed"
    FRAGILE = "fragile"
    ADVERSARIAL = "adversarial"
    NONE = "none"

    @property
    def meaning(self) -> str:
        """One sentence for the reader of a report."""
        return _MEANING[self]


_MEANING = {
    Kind.SEMANTIC: "The flip is robust to small image corruptions, the change is not noise, and at least half of the "
    "independent classifiers asked flip too.",
    Kind.UNCONFIRMED: "The flip is robust to small image corruptions and the change is not noise, but no independent "
    "classifier could confirm it.",
    Kind.FRAGILE: "Either the flip is robust but most independent classifiers asked do not flip, or they do but the "
    "flip is not robust: it says more about this model than about the lesion.",
    Kind.ADVERSARIAL: "The change is mostly high-frequency noise, or the flip is neither robust nor confirmed by "
    "another classifier: it shows a weakness of the model, not a property of the lesion.",
    Kind.NONE: "The prediction did not change, so there is nothing to judge.",
}


@dataclass(frozen=True)
class OracleAnswer:
    """What one independent classifier says about one counterfactual.

    Attributes:
        counted: it predicts the source class for the query, so that its prediction can flip.
        flipped: it predicts the target class for the counterfactual.
        gain: change of its probability of the target class; None where it does not know that class.
    """

    counted: bool
    flipped: bool
    gain: float | None


@dataclass(frozen=True)
class Verdict:
    """The verdict on one counterfactual, with its evidence.

    Attributes:
        kind: the verdict.
        robustness: for each corruption, and for all of them applied together, whether the target is still predicted.
        oracles: the answer of each independent classifier, by name.
        oracle_agreement: share of the counted oracles that flip; None where none was asked or none counts.
        high_frequency_share: share of the change's energy.
        naturalness: percentile of the estimated loss among held-out real images of the target class (50 is the
            median, 95 is less usual than 19 in 20); None without an estimator that carries these quantiles.
    """

    kind: Kind
    robustness: Mapping[str, bool]
    oracles: Mapping[str, OracleAnswer]
    oracle_agreement: float | None
    high_frequency_share: float
    naturalness: float | None


def judge_edits(edit: Edit, classifier: Classifier, oracles: Mapping[str, Classifier] | None = None) -> list[Verdict]:
    """Judge each counterfactual of a batch.

    - adversarial: more than `HIGH_FREQUENCY` of the change's energy is high-frequency, or the flip is neither robust
      (to a shift, blur, resizing and JPEG compression applied together) nor shared by half of the counted oracles;
    - semantic: the flip is robust, and at least half of the counted oracles share it;
    - unconfirmed: the flip is robust, and no oracle counts;
    - fragile: everything else.

    Args:
        edit: the result of `explain`.
        classifier: the explained one.
        oracles: independent classifiers by name, never optimised against.

    Source: ours. The evidence is that of Hvilshøj et al. 2021 (oracles) and of the literature on robustness.
    """
    robust = robustness(edit, classifier)
    fine = high_frequency_share(edit)
    assert fine is not None
    answers = {name: ask_oracle(edit, oracle) for name, oracle in (oracles or {}).items()}
    verdicts = []
    for i, found in enumerate(edit.found):
        holds = {k: bool(v[i]) for k, v in robust.items()}
        seen = {
            k: OracleAnswer(bool(a.counted[i]), bool(a.flipped[i]), _known(float(a.gain[i])))
            for k, a in answers.items()
        }
        votes = [answer.flipped for answer in seen.values() if answer.counted]
        share = sum(votes) / len(votes) if votes else None
        kind = verdict_kind(found, holds["together"], share, float(fine[i]))
        verdicts.append(Verdict(kind, holds, seen, share, float(fine[i]), _naturalness(edit, classifier, i)))
    return verdicts


def verdict_kind(found: bool, robust: bool, oracle_agreement: float | None, high_frequency: float) -> Kind:
    """The verdict that follows from the evidence; see `judge_edits`.

    Example:
        >>> verdict_kind(True, True, None, 0.0).value, verdict_kind(True, True, 0.4, 0.0).value
        ('unconfirmed', 'fragile')
    """
    confirmed = oracle_agreement is not None and oracle_agreement >= 0.5
    if not found:
        return Kind.NONE
    if high_frequency > HIGH_FREQUENCY or not (robust or confirmed):
        return Kind.ADVERSARIAL
    if robust and confirmed:
        return Kind.SEMANTIC
    return Kind.UNCONFIRMED if oracle_agreement is None else Kind.FRAGILE


def _known(gain: float) -> float | None:
    return gain if math.isfinite(gain) else None


def _naturalness(edit: Edit, classifier: Classifier, i: int) -> float | None:
    """Percentile by linear interpolation between the quantiles that the classifier carries."""
    usual = getattr(classifier, "usual_loss", None)
    if usual is None or edit.after.loss is None:
        return None
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    try:
        marks = [usual(int(edit.target[i]), share) for share in shares]
    except ValueError:  # an estimator that was never measured on validation images
        return None
    return float(np.interp(float(edit.after.loss[i]), marks, [100 * share for share in shares]))
