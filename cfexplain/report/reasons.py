"""What speaks for and against a counterfactual, in plain words: the evidence behind its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfexplain.report import glossary
from cfexplain.report.page import percent
from cfexplain.verdict import HIGH_FREQUENCY


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


def evidence(record: Mapping[str, Any]) -> Iterator[Evidence]:
    """Why the verdict is what it is, the strongest reasons first; of what did not flip, where it changed."""
    verdict = (record.get("verdict") or {}) if record.get("status", "found") == "found" else {}
    survives = verdict.get("survives") or {}
    if survives:
        yield _survival(survives)
    for name, oracle in (verdict.get("oracles") or {}).items():
        yield _oracle(str(name), oracle, str(record.get("source")), str(record.get("target")))
    if verdict and not verdict.get("oracles"):
        yield Evidence("Does another classifier see it?", "not asked", None, "No independent classifier was at hand.")
    inside = (record.get("readout") or {}).get("inside")
    if inside is not None:
        yield Evidence(
            "Is the change on the lesion?",
            percent(inside),
            None,
            "of the change lies inside the lesion's outline on the query.",
        )
    if verdict.get("high_frequency_share") is not None:
        grain = verdict["high_frequency_share"]
        yield Evidence(
            "Is the change noise?",
            percent(grain),
            grain <= HIGH_FREQUENCY,
            f"of it is fine grain; above {percent(HIGH_FREQUENCY)} it counts as noise.",
        )
    if verdict.get("naturalness") is not None:
        yield _naturalness(float(verdict["naturalness"]), str(record.get("target")))
    if record.get("seed_agreement") is not None:
        yield Evidence(
            "Do other seeds find the same?",
            f"{record['seed_agreement']:.2f}",
            None,
            "mean overlap of the strongest tenth of the change between seeds; 1 is the same place, .05 is chance.",
        )


def _survival(survives: Mapping[str, Any]) -> Evidence:
    parts = [(glossary.DAMAGES.get(k, k), bool(v)) for k, v in survives.items() if k != "together"]
    whole = bool(survives.get("together", all(held for _, held in parts)))
    return Evidence(
        "Does the flip survive ordinary damage?",
        "yes" if whole else "no",
        whole,
        f"The class asked for is {'still' if whole else 'no longer'} predicted after {glossary.DAMAGES['together']}.",
        parts,
    )


def _oracle(name: str, said: Mapping[str, Any], source: str, target: str) -> Evidence:
    question = f"Does {name} see it too?"
    if not said.get("counted"):
        why = f"It did not see {source} in the query to begin with, or does not know it."
        if said.get("gain", 0) is None:
            why = f"It does not know the class {target}."
        return Evidence(question, "does not count", None, why)
    gain, flipped = said.get("gain"), bool(said.get("flipped"))
    moved = f" Its probability of {target} moves by {gain:+.2f}.".replace("-", "−") if gain is not None else ""
    words = f"It {'also sees' if flipped else 'does not see'} {target} now.{moved}"
    return Evidence(question, "yes" if flipped else "no", flipped, words)


def _naturalness(percentile: float, target: str) -> Evidence:
    answer = f"{percentile:.0f} of 100"
    if percentile <= 5:
        answer, words = "very ordinary", f"Its estimated loss is among the lowest twentieth of real images of {target}."
    elif percentile >= 95:
        answer, words = "not ordinary", f"It is stranger to the model than 19 in 20 real images of {target}."
    else:
        words = f"It is stranger to the model than {percentile:.0f} % of real images of {target}; 50 is the middle."
    return Evidence("How ordinary is the picture?", answer, percentile < 95, words)
