"""The evidence behind a verdict, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cfexplain.explanation.explanation import Explanation
from cfexplain.explanation.verdict import HIGH_FREQUENCY, OracleAnswer
from cfexplain.report import glossary
from cfexplain.report.page import percent
from cfexplain.types import Status


@dataclass(frozen=True)
class Evidence:
    """One reason for or against a verdict.

    Attributes:
        question: what was asked.
        answer: in a few words.
        good: whether it speaks for the explanation; None where it does neither.
        meaning: what that means, in a sentence.
        parts: smaller answers that belong to it, name and whether it held.
    """

    question: str
    answer: str
    good: bool | None
    meaning: str
    parts: Sequence[tuple[str, bool]] = ()


def evidence(explanation: Explanation) -> Iterator[Evidence]:
    """What the verdict rests on, the strongest evidence first; without a flip only where the image changed."""
    verdict = explanation.verdict
    if explanation.status is Status.FOUND:
        yield _robustness(verdict.robustness)
        for name, answer in verdict.oracles.items():
            yield _oracle(name, answer, explanation.source, explanation.target)
        if not verdict.oracles:
            yield Evidence("Does another classifier agree?", "not asked", None, "No independent classifier was given.")
    if explanation.readout is not None and explanation.readout.inside is not None:
        yield Evidence(
            "Is the change on the lesion?",
            percent(explanation.readout.inside),
            None,
            "of the change lies inside the lesion's outline on the query.",
        )
    if explanation.status is Status.FOUND:
        fine = verdict.high_frequency_share
        yield Evidence(
            "Is the change noise?",
            percent(fine),
            fine <= HIGH_FREQUENCY,
            f"of its energy is at high frequencies; above {percent(HIGH_FREQUENCY)} it counts as noise.",
        )
        if verdict.naturalness is not None:
            yield _naturalness(verdict.naturalness, explanation.target)
    if explanation.seeds is not None:
        yield Evidence(
            "Do other seeds find the same?",
            f"{explanation.seeds.overlap:.2f}",
            None,
            "mean overlap of the strongest tenth of the change between seeds; 1 is the same place, .05 is chance.",
        )


def _robustness(robustness: Mapping[str, bool]) -> Evidence:
    parts = [(glossary.CORRUPTIONS.get(k, k), held) for k, held in robustness.items() if k != "together"]
    whole = robustness.get("together", all(held for _, held in parts))
    return Evidence(
        "Is the flip robust?",
        "yes" if whole else "no",
        whole,
        f"The target is {'still' if whole else 'no longer'} predicted after {glossary.CORRUPTIONS['together']}.",
        parts,
    )


def _oracle(name: str, answer: OracleAnswer, source: str, target: str) -> Evidence:
    question = f"Does {name} agree?"
    if not answer.counted:
        why = f"It does not predict {source} for the query, or does not know that class."
        if answer.gain is None:
            why = f"It does not know the class {target}."
        return Evidence(question, "does not count", None, why)
    moved = ""
    if answer.gain is not None:
        moved = f" Its probability of {target} changes by {answer.gain:+.2f}.".replace("-", "−")
    words = f"It {'also predicts' if answer.flipped else 'does not predict'} {target} now.{moved}"
    return Evidence(question, "yes" if answer.flipped else "no", answer.flipped, words)


def _naturalness(percentile: float, target: str) -> Evidence:
    answer = f"{percentile:.0f} of 100"
    if percentile <= 5:
        answer = "very typical"
        words = f"Its estimated loss is among the lowest twentieth of real images of {target}."
    elif percentile >= 95:
        answer, words = "not typical", f"Its estimated loss is higher than that of 19 in 20 real images of {target}."
    else:
        words = f"Its estimated loss is higher than that of {percentile:.0f} % of real images of {target}."
    return Evidence("How typical is the image?", answer, percentile < 95, words)
