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


def judge(edit: Edit, classifier: Classifier, oracles: Mapping[str, Classifier] | None = None) -> Verdict:
    """Judge one counterfactual.

    - adversarial: more than `HIGH_FREQUENCY` of the change's energy is high-frequency, or the flip is neither robust
      (to a shift, blur, resizing and JPEG compression applied together) nor shared by half of the counted oracles;
    - semantic: the flip is robust, and at least half of the counted oracles share it;
    - unconfirmed: the flip is robust, and no oracle counts;
    - fragile: everything else.

    Oracles are independent classifiers by name, never optimised against.

    Source: ours. The evidence is that of Hvilshøj et al. 2021 (oracles) and of the literature on robustness.
    """
    robust = {name: bool(holds) for name, holds in robustness(edit, classifier).items()}
    fine = float(high_frequency_share(edit))
    answers = {name: _ask(edit, oracle) for name, oracle in (oracles or {}).items()}
    votes = [answer.flipped for answer in answers.values() if answer.counted]
    share = sum(votes) / len(votes) if votes else None
    kind = verdict_kind(edit.found[0], robust["together"], share, fine)
    return Verdict(kind, robust, answers, share, fine, _naturalness(edit, classifier))


def verdict_kind(found: bool, robust: bool, oracle_agreement: float | None, high_frequency: float) -> Kind:
    """The verdict that follows from the evidence; see `judge`.

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


def _ask(edit: Edit, oracle: Classifier) -> OracleAnswer:
    answer = ask_oracle(edit, oracle)
    gain = float(answer.gain)
    return OracleAnswer(bool(answer.counted), bool(answer.flipped), gain if math.isfinite(gain) else None)


def _naturalness(edit: Edit, classifier: Classifier) -> float | None:
    usual = getattr(classifier, "usual_loss", None)
    if usual is None or edit.after.loss is None:
        return None
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    try:
        marks = [usual(int(edit.target), share) for share in shares]
    except ValueError:  # an estimator that was never measured on validation images
        return None
    return float(np.interp(float(edit.after.loss), marks, [100 * share for share in shares]))
