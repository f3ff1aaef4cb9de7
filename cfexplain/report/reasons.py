"""The evidence behind a verdict, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cfexplain.explanation.explanation import Explanation
from cfexplain.explanation.verdict import HIGH_FREQUENCY, OracleAnswer
from cfexplain.report.glossary import CORRUPTIONS
from cfexplain.report.page import percent
from cfexplain.types import Status


@dataclass(frozen=True)
class Evidence:
    """One reason for or against a verdict.

    Attributes:
        question: that it answers.
        answer: in a few words.
        good: whether it supports the explanation; None where it does neither.
        meaning: one sentence.
        parts: details, as name and whether it held.
    """

    question: str
    answer: str
    good: bool | None
    meaning: str
    parts: Sequence[tuple[str, bool]] = ()


def evidence(explanation: Explanation) -> Iterator[Evidence]:
    """What the verdict rests on, the strongest evidence first; what judges a flip is left out where there is none."""
    verdict, readout, seeds = explanation.verdict, explanation.readout, explanation.seeds
    flipped, target = explanation.status is Status.FOUND, explanation.target
    if flipped:
        yield _robustness(verdict.robustness)
        for name, answer in verdict.oracles.items():
            yield _oracle(name, answer, explanation.source, target)
        if not verdict.oracles:
            yield Evidence("Do other classifiers agree?", "not tested", None, "No independent classifier was provided.")
    if readout is not None and readout.inside is not None:
        meaning = "of the change lies within the outline of the lesion in the query."
        yield Evidence("Is the change on the lesion?", percent(readout.inside), None, meaning)
    if flipped:
        share = verdict.high_frequency_share
        meaning = f"of the change's energy is at high frequencies; above {percent(HIGH_FREQUENCY)} it counts as noise."
        yield Evidence("Is the change noise?", percent(share), share <= HIGH_FREQUENCY, meaning)
    if flipped and verdict.naturalness is not None:
        yield _naturalness(verdict.naturalness, target)
    if seeds is not None:
        meaning = "is the mean overlap (IoU) of the strongest tenth of the change; by chance it would be about 0.05."
        yield Evidence("Do other seeds agree?", f"{seeds.overlap:.2f}", None, meaning)


def _robustness(robustness: Mapping[str, bool]) -> Evidence:
    parts = [(CORRUPTIONS.get(name, name), held) for name, held in robustness.items() if name != "together"]
    robust = robustness.get("together", all(held for _, held in parts))
    meaning = f"The target is {'still' if robust else 'no longer'} predicted after {CORRUPTIONS['together']}."
    return Evidence("Is the flip robust?", "yes" if robust else "no", robust, meaning, parts)


def _oracle(name: str, answer: OracleAnswer, source: str, target: str) -> Evidence:
    question, flipped, gain = f"Does {name} agree?", answer.flipped, answer.gain
    if gain is None:
        return Evidence(question, "does not count", None, f"It does not know the class {target}.")
    if not answer.counted:
        meaning = f"It does not predict {source} for the query, or does not know that class."
        return Evidence(question, "does not count", None, meaning)
    change = f"{gain:+.2f}".replace("-", "−")
    meaning = f"It {'also predicts' if flipped else 'does not predict'} {target}: its probability changes by {change}."
    return Evidence(question, "yes" if flipped else "no", flipped, meaning)


def _naturalness(percentile: float, target: str) -> Evidence:
    typical = percentile < 95
    answer, comparison = f"{percentile:.0f} of 100", f"higher than that of {percentile:.0f} %"
    if percentile <= 5:
        answer, comparison = "very typical", "lower than that of 95 %"
    elif not typical:
        answer, comparison = "not typical", "higher than that of 95 %"
    meaning = f"Its estimated loss is {comparison} of real images of {target}."
    return Evidence("How typical is the image?", answer, typical, meaning)
