"""The page of one lesion: what would change the model's mind, shown, in words, and what it is worth."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cfexplain.appearance import COLOURS, PRESENT
from cfexplain.metrics import METRICS
from cfexplain.readout import SPREAD, least_change
from cfexplain.report import glossary, picture
from cfexplain.report.page import known, page, percent
from cfexplain.report.reasons import evidence

MOST_CLASSES = 7
PATH_FRAMES, PATH_END = 16, 1.5
CUT_OFF = "reaches the picture's rim"
"""How the readout's words say that the shape is not compared."""

SECOND = re.compile(r"(?<=\.) (?=\d+ % of the change lies|The two pictures are the same)")
"""Where the readout's second sentence begins."""

SHAPE = ("asymmetry", "irregularity")


@dataclass(frozen=True)
class Link:
    """Where else to go: a relative address and its words."""

    href: str
    words: str


@dataclass(frozen=True)
class Lesion:
    """What a folder holds of one explanation.

    Attributes:
        folder: as `Counterfactual.save` wrote it.
        record: of result.json.
        row: of the audit that it belongs to; empty outside of one.
        change: painted - anchor, shape (3, h, w); None without the tensors.
        frames: of the way from the query beyond the counterfactual, shape (k, 3, h, w); None where none was asked.
    """

    folder: Path
    record: Mapping[str, Any]
    row: Mapping[str, Any] = field(default_factory=dict)
    change: Any = None
    frames: Any = None

    @classmethod
    def read(cls, folder: Path, row: Mapping[str, Any] | None = None) -> Lesion:
        """Read a folder; only result.json must be there.

        Raises:
            ValueError: there is no result.json, or it is not a record.
        """
        record = _record(folder / "result.json")
        change = frames = None
        if (folder / "tensors.safetensors").is_file():
            change, frames = _tensors(folder, wanted=_has_path(folder))
        return cls(folder, record, known(row or {}), change, frames)

    @property
    def verdict(self) -> Mapping[str, Any]:
        """As `Verdict.to_dict` has it; empty where none was given."""
        found = self.record.get("verdict")
        return found if isinstance(found, Mapping) else {}

    @property
    def sentences(self) -> tuple[str, str]:
        """The finding, and what else the readout says."""
        words = str(self.record.get("words") or "")
        if not words:
            source, target = self.record.get("source", "?"), self.record.get("target", "?")
            return f"{source} → {target}: {self.status.replace('_', ' ')}", str(self.record.get("advice", ""))
        first, *rest = re.split(SECOND, words, maxsplit=1)  # a full stop alone may be a class name's
        return first, "".join(rest)

    @property
    def status(self) -> str:
        """How the search ended."""
        return str(self.record.get("status", "unknown"))

    @property
    def name(self) -> str:
        """The picture's name without its folder."""
        return str(self.record.get("image", self.folder.name)).replace("\\", "/").rsplit("/", 1)[-1]


def lesion_page(folder: Path) -> str:
    """The page of one lesion's folder, as HTML.

    Args:
        folder: as `cfexplain explain` writes it; what is missing is left out.

    Raises:
        ValueError: there is no result.json, or it is not a record.
    """
    return case_page(Lesion.read(Path(folder)))


def case_page(lesion: Lesion, links: Sequence[Link] = ()) -> str:
    """The page of one lesion, with links to where it belongs."""
    finding, rest = lesion.sentences
    record, folder = lesion.record, lesion.folder
    return page(
        "lesion.html",
        lesion=lesion,
        record=record,
        links=links,
        finding=finding,
        rest=rest,
        licence=_licence(record),
        provenance=provenance(record),
        before=picture.read(folder / "query.png"),
        after=picture.read(folder / "counterfactual.png"),
        anchor=picture.read(folder / "anchor.png"),
        fullsize=picture.read(folder / "fullsize.png"),
        seeds=picture.read(folder / "seeds.png"),
        change=None if lesion.change is None else picture.change_map(lesion.change),
        change_file=picture.read(folder / "change.png") if lesion.change is None else None,
        path=_strip(lesion),
        path_file=picture.read(folder / "path.png"),
        probabilities=probabilities(record),
        evidence=list(evidence(record)),
        abcd=appearance(record),
        places=places(lesion.row),
        about=about(lesion.row),
        comparison=_comparison(folder, record),
        measures=measures(record),
        history=_history(record),
        settings=json.dumps(record.get("method", {}), indent=1, ensure_ascii=False),
    )


def probabilities(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The most probable classes, before or after, with what they were and became."""
    said = record.get("probabilities") or {}
    before, after = said.get("query") or {}, said.get("counterfactual") or {}
    names = dict.fromkeys([*before, *after])
    rows = [{"name": name, "before": before.get(name), "after": after.get(name)} for name in names]
    return sorted(rows, key=lambda r: -max(r["before"] or 0, r["after"] or 0))[:MOST_CLASSES]


def appearance(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ABCD readout by letter: before, after, and the change as a multiple of its natural spread."""
    numbers = record.get("readout") or {}
    cut = CUT_OFF in str(record.get("words", ""))
    groups = []
    for letter, heading, listed in glossary.APPEARANCE:
        rows = [row for name, words, unit in listed if (row := _measure(numbers, name, words, unit, cut)) is not None]
        if rows:
            groups.append({"letter": letter, "title": heading, "rows": rows})
    return groups


def places(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the change lies, and what each place brings, as an audit's row knows it."""
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
    """What the data say of the picture: true class, lesion, skin tone, metadata."""
    keys = [k for k in ("label", "lesion_id", "tone", "ita") if k in row]
    keys += [k for k in row if k.startswith("meta.")]
    keys += [k for k in row if k.startswith("artefact.") and row[k]]
    return [(glossary.title(k), _said(k, row[k])) for k in keys]


def _said(key: str, value: Any) -> Any:
    """A share as such; a number that may be a name or a year without marks between its digits."""
    if key.startswith("artefact.") and isinstance(value, float):
        return percent(value)
    return str(value) if key.startswith("meta.") and isinstance(value, int) else value


def provenance(record: Mapping[str, Any]) -> str:
    """What made the result, in a line, for paper too."""
    method, versions = record.get("method") or {}, record.get("versions") or {}
    named = {
        "method": method.get("name"),
        "seed": record.get("seed"),
        **{k: versions.get(k) for k in ("cfexplain", "torch")},
    }
    made = ", ".join(f"{k} {v}" for k, v in known(named).items()).capitalize()
    way = record.get("dehair")
    return f"{made}. Hair and ruler marks were taken off beforehand ({way}): texture may be missing" if way else made


def measures(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All metrics with their units and which way is better."""
    rows = []
    for name, value in (record.get("metrics") or {}).items():
        metric = METRICS.get(name)
        rows.append(
            {
                "name": name,
                "value": value,
                "unit": metric.unit if metric else "",
                "better": metric.better if metric and metric.better != "neither" else "",
            }
        )
    return rows


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ValueError(f"{path.parent} is no lesion's folder: it has no result.json") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): explain the picture again") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path} holds no record: explain the picture again")
    return record


def _tensors(folder: Path, wanted: bool) -> tuple[Any, Any]:
    """The change, and the frames of the path where they are wanted; see `path_of` for the frames."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(folder / "tensors.safetensors")
        query, change = stored["query"], stored["painted"] - stored["anchor"]
    except (SafetensorError, KeyError, RuntimeError):
        return None, None
    if not wanted:
        return change[0], None
    shown = stored.get("image", query + change) - query
    alphas = torch.linspace(0, PATH_END, PATH_FRAMES).view(-1, 1, 1, 1)
    return change[0], (query + alphas * shown).clamp(0, 1)


def _has_path(folder: Path) -> bool:
    return (folder / "path.gif").is_file() or (folder / "path.png").is_file()


def _strip(lesion: Lesion) -> dict[str, Any] | None:
    from cfexplain.images import to_uint8

    if lesion.frames is None:
        return None
    strip = picture.strip([to_uint8(frame) for frame in lesion.frames])
    height, width = lesion.frames.shape[-2:]
    return {"picture": strip, "aspect": f"{width} / {height}", "frames": PATH_FRAMES, "end": PATH_END}


def _measure(numbers: Mapping[str, Any], name: str, words: str, unit: str, cut: bool) -> dict[str, Any] | None:
    before, after = numbers.get(f"{name}_before"), numbers.get(f"{name}_after")
    if before is None or after is None:
        return None
    change = after - before
    compared = not (cut and name in SHAPE)
    return {
        "name": name,
        "title": words,
        "unit": unit,
        "before": before,
        "after": after,
        "change": change,
        "spreads": change / (max(SPREAD[name], PRESENT) if name in COLOURS else SPREAD[name]),
        "stands_out": compared and abs(change) > least_change(name),
        "compared": compared,
    }


def _comparison(folder: Path, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Attribution maps, where `cfexplain compare` left some of the same question."""
    told = _told(folder / "comparison.json")
    method = record.get("method")
    own = {**record, "method": method.get("name") if isinstance(method, Mapping) else method}
    if any(k in told and told[k] != own.get(k) for k in ("image", "source", "target", "method", "seed")):
        return None
    maps, rows = picture.read(folder / "comparison.png", largest=2200), _rows(told)
    if maps is None and not rows:
        return None
    columns = [k for k in dict.fromkeys(k for row in rows for k in row) if k not in ("image", "method", "curves")]
    shown = [k for k in columns if any(isinstance(row.get(k), int | float) for row in rows)]
    return {"maps": maps, "curves": picture.read(folder / "curves.png"), "rows": rows, "columns": shown}


def _told(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _rows(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = told.get("rows")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _history(record: Mapping[str, Any], width: float = 100, height: float = 30) -> dict[str, Any] | None:
    """The target's probability over the edit's steps, as points of a line."""
    values = [row.get("target_probability") for row in record.get("history") or [] if isinstance(row, Mapping)]
    seen = [float(v) for v in values if isinstance(v, int | float)]
    if len(seen) < 2:
        return None
    points = [f"{width * k / (len(seen) - 1):.2f},{height * (1 - v):.2f}" for k, v in enumerate(seen)]
    return {"points": " ".join(points), "steps": len(seen), "first": seen[0], "last": seen[-1]}


def _licence(record: Mapping[str, Any]) -> str | None:
    """What a record says of its classifier's licence."""
    told = record.get("licence")
    about = record.get("classifier")
    if isinstance(about, Mapping):
        told = told or about.get("licence")
        name = about.get("name", "")
    else:
        name = about or ""
    return f"Classifier {name}: {told}".replace(" :", ":") if told else None
