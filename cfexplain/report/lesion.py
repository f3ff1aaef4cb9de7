"""The page of one explanation: finding, verdict, images, evidence, numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from cfexplain.explanation.explanation import Explanation
from cfexplain.explanation.metrics import METRICS
from cfexplain.explanation.readout import Readout
from cfexplain.report import glossary, picture
from cfexplain.report.page import page, percent
from cfexplain.report.picture import Picture
from cfexplain.report.reasons import evidence

MOST_CLASSES = 7
FRAMES, END = 16, 1.5
"""Of the path: number of frames, and the share of the change in the last one."""

Link = tuple[str, str]
"""A relative address and its text."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Attribution maps of the same image and target.

    Attributes:
        maps: side by side.
        curves: of deletion and insertion.
        columns: measures that are known for some method.
        rows: one for each method.
    """

    maps: Picture | None
    curves: Picture | None
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Case:
    """An explanation with what else its page shows.

    Attributes:
        name: of its folder.
        explanation: the explanation.
        row: of the audit that it belongs to; empty outside of one.
        comparison: with attribution maps.
    """

    name: str
    explanation: Explanation
    row: Mapping[str, Any] = field(default_factory=dict)
    comparison: Comparison | None = None

    @property
    def image(self) -> str:
        """The image's name without its folder."""
        return (self.explanation.provenance.image or self.name).replace("\\", "/").rsplit("/", 1)[-1]


class Measure(NamedTuple):
    """One measure of the lesion before and after; `spreads` is its change in standard deviations between lesions."""

    name: str
    title: str
    unit: str
    before: float
    after: float
    spreads: float
    compared: bool
    stands_out: bool


def lesion_page(case: Case, links: Sequence[Link] = ()) -> str:
    """Render the page of one explanation, with links to the pages around it."""
    explanation, edit, figures = case.explanation, case.explanation.edit, case.explanation.figures
    finding, qualification = explanation.sentences
    made_by = explanation.provenance
    return page(
        "lesion.html",
        case=case,
        record=explanation.record,
        links=links,
        finding=finding,
        qualification=qualification,
        licence=f"Classifier {made_by.classifier}: {made_by.licence}" if made_by.licence else None,
        before=picture.of_image(edit.query[0]),
        after=picture.of_image(edit.image[0]),
        anchor=picture.of_image(edit.anchor[0]),
        change=picture.change_map(edit.difference[0]),
        full_size=picture.of_file(figures.get("fullsize.png")),
        seeds=picture.of_file(figures.get("seeds.png")),
        walk=_walk(explanation) if {"path.gif", "path.png"} & set(figures) else None,
        frames=FRAMES,
        end=END,
        path=picture.of_file(figures.get("path.png")),
        probabilities=probabilities(explanation),
        evidence=list(evidence(explanation)),
        abcd=appearance(explanation.readout),
        places=places(case.row),
        about=about(case.row),
        metrics=METRICS,
        history=[step["target_probability"] for step in edit.history[0] if "target_probability" in step],
        settings=json.dumps(dict(edit.settings), indent=1, ensure_ascii=False),
    )


def probabilities(explanation: Explanation) -> list[dict[str, Any]]:
    """The most probable classes, before or after, with both probabilities."""
    before, after = explanation.probabilities("query"), explanation.probabilities("counterfactual")
    names = sorted(before, key=lambda name: -max(before[name], after[name]))[:MOST_CLASSES]
    return [{"name": name, "before": before[name], "after": after[name]} for name in names]


def appearance(readout: Readout | None) -> list[tuple[str, str, list[Measure]]]:
    """The ABCD criteria: letter, title and measures of each."""
    if readout is None:
        return []
    before, after = readout.before.numbers(), readout.after.numbers()

    def measure(name: str, title: str, unit: str) -> Measure:
        judged = readout.in_spreads(name), readout.compared(name), readout.stands_out(name)
        return Measure(name, title, unit, before[name], after[name], *judged)

    return [
        (letter, title, [measure(name, *words) for name, words in measures.items()])
        for (letter, title), measures in glossary.APPEARANCE.items()
    ]


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


def _walk(explanation: Explanation) -> Picture:
    """Frames from the query to beyond the counterfactual, side by side."""
    query, image = explanation.edit.query.cpu(), explanation.edit.image.cpu()
    shares = torch.linspace(0, END, FRAMES).view(-1, 1, 1, 1)
    return picture.strip((query + shares * (image - query)).clamp(0, 1))
