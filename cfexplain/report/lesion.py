"""The page of one explanation: what would change the model's prediction, shown, in words, and what it is worth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from cfexplain.explanation.explanation import Explanation
from cfexplain.explanation.metrics import METRICS
from cfexplain.explanation.readout import Readout
from cfexplain.images import to_uint8
from cfexplain.report import glossary, picture
from cfexplain.report.page import known, page, percent
from cfexplain.report.reasons import evidence

MOST_CLASSES = 7
PATH_FRAMES, PATH_END = 16, 1.5


@dataclass(frozen=True)
class Link:
    """A relative address and its text."""

    href: str
    words: str


@dataclass(frozen=True, eq=False)
class Maps:
    """Attribution maps of the same image and target.

    Attributes:
        maps: the sheet of maps, as PNG; None where there is none.
        curves: deletion and insertion curves, as PNG.
        rows: measures by method.
    """

    maps: bytes | None
    curves: bytes | None
    rows: Sequence[Mapping[str, Any]]

    @property
    def columns(self) -> list[str]:
        """The measures that hold a number in some row."""
        names = dict.fromkeys(k for row in self.rows for k in row if k not in ("image", "method", "curves"))
        return [k for k in names if any(isinstance(row.get(k), int | float) for row in self.rows)]


@dataclass(frozen=True, eq=False)
class Case:
    """An explanation with what belongs to it on a page.

    Attributes:
        name: of its folder.
        explanation: what the page shows.
        row: of the audit that it belongs to; empty outside of one.
        maps: attribution maps beside it.
    """

    name: str
    explanation: Explanation
    row: Mapping[str, Any] = field(default_factory=dict)
    maps: Maps | None = None

    @property
    def image(self) -> str:
        """The image's name without its folder."""
        named = self.explanation.provenance.image or self.name
        return named.replace("\\", "/").rsplit("/", 1)[-1]


def lesion_page(case: Case, links: Sequence[Link] = ()) -> str:
    """The page of one explanation as HTML, with links to where it belongs."""
    explanation, edit = case.explanation, case.explanation.edit
    finding, rest = explanation.sentences
    figures = explanation.figures
    return page(
        "lesion.html",
        case=case,
        explanation=explanation,
        record=explanation.record,
        links=links,
        finding=finding,
        rest=rest,
        licence=_licence(explanation),
        provenance=provenance(explanation),
        before=picture.of_image(edit.query[0]),
        after=picture.of_image(edit.image[0]),
        anchor=picture.of_image(edit.anchor[0]),
        fullsize=picture.of_file(figures.get("fullsize.png")),
        seeds=picture.of_file(figures.get("seeds.png")),
        change=picture.change_map(edit.difference[0]),
        path=_strip(explanation) if {"path.gif", "path.png"} & set(figures) else None,
        path_file=picture.of_file(figures.get("path.png")),
        probabilities=probabilities(explanation),
        evidence=list(evidence(explanation)),
        abcd=appearance(explanation.readout),
        places=places(case.row),
        about=about(case.row),
        comparison=_comparison(case.maps),
        measures=measures(explanation.metrics),
        history=_history(edit.history[0]),
        settings=json.dumps(dict(edit.settings), indent=1, ensure_ascii=False),
    )


def probabilities(explanation: Explanation) -> list[dict[str, Any]]:
    """The most probable classes, before or after, with both probabilities."""
    before, after = explanation.probabilities("query"), explanation.probabilities("counterfactual")
    names = sorted(before, key=lambda name: -max(before[name], after[name]))[:MOST_CLASSES]
    return [{"name": name, "before": before[name], "after": after[name]} for name in names]


def appearance(readout: Readout | None) -> list[dict[str, Any]]:
    """The ABCD readout by letter: before, after, and the change as a multiple of its natural spread."""
    if readout is None:
        return []
    before, after, change = readout.before.numbers(), readout.after.numbers(), readout.change

    def measure(name: str, words: str, unit: str) -> dict[str, Any]:
        return {
            "name": name,
            "title": words,
            "unit": unit,
            "before": before[name],
            "after": after[name],
            "change": change[name],
            "spreads": readout.in_spreads(name),
            "stands_out": readout.compared(name) and readout.exceeds_noise(name),
            "compared": readout.compared(name),
        }

    return [
        {"letter": letter, "title": heading, "rows": [measure(*row) for row in listed]}
        for letter, heading, listed in glossary.APPEARANCE
    ]


def places(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the change lies, and the effect of each place, as an audit's row has it."""
    heads = {"place": "Share of the change", "on": "Share on artefacts", "effect": "Share of the effect"}
    groups = []
    for head, words in heads.items():
        parts = [
            {"name": k.split(".", 1)[1], "value": v}
            for k, v in row.items()
            if k.startswith(f"{head}.") and isinstance(v, float)
        ]
        if parts:
            groups.append({"title": words, "parts": parts})
    return groups


def about(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What the data set says about the image: true class, lesion, skin tone, metadata."""
    keys = [k for k in ("label", "lesion_id", "tone", "ita") if k in row]
    keys += [k for k in row if k.startswith("meta.")]
    keys += [k for k in row if k.startswith("artefact.") and row[k]]
    return [(glossary.title(k), _shown(k, row[k])) for k in keys]


def _shown(key: str, value: Any) -> Any:
    """A share as a percentage; a number that may be a name or a year without marks between its digits."""
    if key.startswith("artefact.") and isinstance(value, float):
        return percent(value)
    return str(value) if key.startswith("meta.") and isinstance(value, int) else value


def provenance(explanation: Explanation) -> str:
    """What made the result, in a line, for paper too."""
    edit, made_by = explanation.edit, explanation.provenance
    named = {
        "method": edit.method,
        "seed": edit.seed,
        **{k: made_by.versions.get(k) for k in ("cfexplain", "torch")},
    }
    made = ", ".join(f"{k} {v}" for k, v in known(named).items()).capitalize()
    if not made_by.hair_removal:
        return made
    return f"{made}. Hair and ruler marks were removed beforehand ({made_by.hair_removal}): texture may be missing"


def measures(metrics: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """All metrics with their units and which direction is better."""
    rows = []
    for name, value in metrics.items():
        metric = METRICS.get(name)
        better = metric.better if metric and metric.better != "neither" else ""
        rows.append({"name": name, "value": value, "unit": metric.unit if metric else "", "better": better})
    return rows


def _strip(explanation: Explanation) -> dict[str, Any]:
    """Frames from the query to beyond the counterfactual, side by side."""
    edit = explanation.edit
    alphas = torch.linspace(0, PATH_END, PATH_FRAMES).view(-1, 1, 1, 1)
    query = edit.query.cpu()
    frames = (query + alphas * (edit.image.cpu() - query)).clamp(0, 1)
    height, width = frames.shape[-2:]
    strip = picture.strip([to_uint8(frame) for frame in frames])
    return {"picture": strip, "aspect": f"{width} / {height}", "frames": PATH_FRAMES, "end": PATH_END}


def _comparison(maps: Maps | None) -> dict[str, Any] | None:
    if maps is None:
        return None
    sheet = picture.of_file(maps.maps, largest=2200)
    if sheet is None and not maps.rows:
        return None
    return {"maps": sheet, "curves": picture.of_file(maps.curves), "rows": maps.rows, "columns": maps.columns}


def _history(
    rows: Sequence[Mapping[str, float]], width: float = 100, height: float = 30
) -> dict[str, Any] | None:
    """The target's probability over the edit's steps, as points of a line."""
    seen = [row["target_probability"] for row in rows if "target_probability" in row]
    if len(seen) < 2:
        return None
    points = [f"{width * k / (len(seen) - 1):.2f},{height * (1 - v):.2f}" for k, v in enumerate(seen)]
    return {"points": " ".join(points), "steps": len(seen), "first": seen[0], "last": seen[-1]}


def _licence(explanation: Explanation) -> str | None:
    """The licence of the classifier, where the record names it."""
    made_by = explanation.provenance
    return f"Classifier {made_by.classifier}: {made_by.licence}" if made_by.licence else None
