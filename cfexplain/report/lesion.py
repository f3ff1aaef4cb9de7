"""The page of one explanation: finding, verdict, images, evidence, numbers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from cfexplain import METRICS, Edit, Explanation, Status
from cfexplain.explanation import plot
from cfexplain.explanation.verdict import HIGH_FREQUENCY, OracleAnswer
from cfexplain.report import glossary
from cfexplain.report.page import Picture, change_colours, of_file, of_image, page, percent, strip

MOST_CLASSES = 7  # The most probable ones, before or after.
FRAMES, END = 16, 1.5  # Of the path: number of frames, and the share of the change in the last one.


@dataclass(frozen=True, eq=False)
class Case:
    """An explanation with what else its page shows."""

    name: str  # Of its folder.
    explanation: Explanation
    row: Mapping[str, Any] = field(default_factory=dict)  # Of the audit that it belongs to; empty outside of one.
    comparison: Mapping[str, Any] | None = None  # With attribution maps: pictures, and a table of measures.

    @property
    def image(self) -> str:
        """The image's name without its folder."""
        return (self.explanation.provenance.image or self.name).replace("\\", "/").rsplit("/", 1)[-1]


def lesion_page(case: Case, links: Sequence[tuple[str, str]] = ()) -> str:
    """Render the page of one explanation, with links, each an address and a text, to the pages around it."""
    explanation, edit, figures = case.explanation, case.explanation.edit, case.explanation.figures
    before, after = explanation.probabilities("query"), explanation.probabilities("counterfactual")
    made_by = explanation.provenance
    return page(
        "lesion.html",
        case=case,
        record=explanation.record,
        links=links,
        licence=f"Classifier {made_by.classifier}: {made_by.licence}" if made_by.licence else "",
        before=of_image(edit.query[0]),
        after=of_image(edit.image[0]),
        anchor=of_image(edit.anchor[0]),
        change=of_image(plot.change_image(edit.difference[0])),
        change_scale=plot.change_scale(plot.change_values(edit.difference[0])),
        change_colours=change_colours(),
        **{name: of_file(figures.get(f"{name}.png")) for name in ("fullsize", "seeds", "path")},
        walk=_walk(edit) if {"path.gif", "path.png"} & set(figures) else None,
        frames=FRAMES,
        end=END,
        likeliest=sorted(before, key=lambda name: -max(before[name], after[name]))[:MOST_CLASSES],
        evidence=list(evidence(explanation)),
        readout=explanation.readout,
        places=places(case.row),
        about=about(case.row),
        metrics=METRICS,
        history=[step["target_probability"] for step in edit.history[0] if "target_probability" in step],
        settings=json.dumps(dict(edit.settings), indent=1, ensure_ascii=False),
    )


def places(row: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Shares of the change and of its effect by place, from an audit's row."""
    titles = {"place": "Share of the change", "on": "Share on artefacts", "effect": "Share of the effect"}
    numbers = {name.partition("."): value for name, value in row.items() if isinstance(value, int | float)}
    shares = {
        title: {place: value for (first, _, place), value in numbers.items() if first == head and place}
        for head, title in titles.items()
    }
    return {title: parts for title, parts in shares.items() if parts}


def about(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What the data set says about the image: true class, lesion, skin tone, metadata, artefacts."""
    facts = [(k, row[k]) for k in ("label", "lesion_id", "tone", "ita") if k in row]
    # Whole numbers in metadata may be names or years: they get no thousands separator.
    facts += [(k, str(v) if isinstance(v, int) else v) for k, v in row.items() if k.startswith("meta.")]
    facts += [(k, percent(v)) for k, v in row.items() if k.startswith("artefact.") and v]
    return [(glossary.title(name), value) for name, value in facts]


def _walk(edit: Edit) -> Picture:
    """Frames from the query to beyond the counterfactual, side by side."""
    shares = torch.linspace(0, END, FRAMES).view(-1, 1, 1, 1).to(edit.query.device)
    return strip((edit.query + shares * (edit.image - edit.query)).clamp(0, 1))


class Evidence(NamedTuple):
    """One reason for or against a verdict."""

    question: str
    answer: str  # In a few words.
    good: bool | None  # Whether it supports the explanation; None where it does neither.
    meaning: str  # One sentence.
    parts: Sequence[tuple[str, bool]] = ()  # Details, as name and whether it held.


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
    if (agreement := explanation.metrics.get("search_agreement")) is not None:
        meaning = "is how far the changes of the two searches agree: 1 where they are equal, 0.5 for unrelated ones."
        yield Evidence("Do the searches agree?", f"{agreement:.2f}", None, meaning)
    if seeds is not None:
        meaning = "is the mean overlap (IoU) of the strongest tenth of the change; by chance it would be about 0.05."
        yield Evidence("Do other seeds agree?", f"{seeds.overlap:.2f}", None, meaning)


def _robustness(robustness: Mapping[str, bool]) -> Evidence:
    parts = [(glossary.CORRUPTIONS.get(name, name), held) for name, held in robustness.items() if name != "together"]
    robust = robustness.get("together", all(held for _, held in parts))
    meaning = f"The target is {'still' if robust else 'no longer'} predicted after {glossary.CORRUPTIONS['together']}."
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
