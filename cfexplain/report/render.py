"""Folders of results as pages: the only place of the report that reads and writes files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cfexplain import Explanation, load
from cfexplain.audit.section import Summary
from cfexplain.audit.store import read_rows
from cfexplain.images import write_whole
from cfexplain.report.audit import audit_page
from cfexplain.report.gallery import PAGES, Card, card, gallery_page, page_count, page_name
from cfexplain.report.lesion import Case, lesion_page
from cfexplain.report.page import of_file, page
from cfexplain.report.rows import plain

REPORT = "report.html"


def render(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of an explanation, of an audit, or of a folder of explanations, and the pages it links to.

    Args:
        folder: as `cfexplain explain` or `cfexplain audit` wrote it.
        out: folder for pages/ and then report.html, whose path is returned; None is `folder` itself.

    Raises:
        ValueError: the folder is none of these, holds nothing that can be shown, or cannot be written to.
    """
    folder = Path(folder)
    out = folder if out is None else Path(out)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: name one that explain or audit wrote")
    if (folder / "result.json").is_file():
        return _write(out / REPORT, lesion_page(load_case(folder)))
    if (folder / "summary.json").is_file() or (folder / "rows").is_dir():
        summary, rows = load_audit(folder)
        title = f"Audit of {summary.facts.get('classifiers') or folder.resolve().name}"
        known = {path.parent.name for path in folder.glob("cases/*/result.json")}
        records = [{str(k): plain(v) for k, v in row.items()} for row in rows.to_dict("records")]
        cards = _write_cases(folder / "cases", [row for row in records if row.get("case") in known], title, out)
        return _write(out / REPORT, audit_page(title, summary, rows, cards))
    lesions = sorted(path.parent.name for path in folder.glob("*/result.json"))
    if not lesions:
        raise ValueError(
            f"{folder} holds nothing to report: name a lesion's folder (with result.json), an audit's folder "
            "(with summary.json or rows/), or a folder of lesions' folders"
        )
    title = f"{len(lesions)} lesion{'' if len(lesions) == 1 else 's'} in {folder.resolve().name}"
    cards = _write_cases(folder, [{"case": name} for name in lesions], title, out)
    return _write(out / REPORT, gallery_page(cards, title))


def render_explanation(explanation: Explanation, folder: Path) -> Path:
    """Write the page of an explanation into its folder."""
    comparison = load_comparison(folder, explanation)
    return _write(folder / REPORT, lesion_page(Case(folder.name, explanation, comparison=comparison)))


def load_case(folder: Path, row: Mapping[str, Any] | None = None) -> Case:
    """Read an explanation from its folder, with its row of an audit; a ValueError if it is missing or damaged."""
    explanation = load(folder)
    return Case(folder.name, explanation, row or {}, load_comparison(folder, explanation))


def load_comparison(folder: Path, explanation: Explanation) -> dict[str, Any] | None:
    """Read what `cfexplain compare` wrote into the folder; None where it is of another image, target or search."""
    try:
        record = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
        rows = [row for row in record["rows"] if isinstance(row, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = {
        "image": explanation.provenance.image,
        "source": explanation.source,
        "target": explanation.target,
        "method": explanation.edit.method,
        "seed": str(explanation.edit.seed),
    }
    if any(str(record.get(name, value)) != value for name, value in same.items()):
        return None
    files = (folder / "comparison.png", folder / "curves.png")
    maps, curves = (of_file(path.read_bytes(), 2200) if path.is_file() else None for path in files)
    names = dict.fromkeys(name for row in rows for name in row if name not in ("image", "method", "curves"))
    columns = [name for name in names if any(isinstance(row.get(name), int | float) for row in rows)]
    return {"maps": maps, "curves": curves, "columns": columns, "rows": rows} if maps or rows else None


def load_audit(folder: Path) -> tuple[Summary, pd.DataFrame]:
    """Read the summary and the rows of an audit, either of which may be missing; a ValueError if it is damaged."""
    path, rows = folder / "summary.json", read_rows(folder)
    for name in [name for name in rows if str(name).startswith("meta.")]:
        numbers = pd.to_numeric(rows[name], errors="coerce")
        if numbers.count() == rows[name].count():
            rows[name] = numbers
    try:
        return Summary.load(path) if path.is_file() else Summary({}), rows
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is damaged ({reason}): summarise the audit again") from None


def _write_cases(folder: Path, rows: Sequence[Mapping[str, Any]], title: str, out: Path) -> list[Card]:
    """Write the page of each case, with links to its neighbours, and the gallery's further pages."""
    cards, names = [], [page_name(str(row["case"])) for row in rows]
    for k, row in enumerate(rows):
        name = str(row["case"])
        neighbours = [(k - 1, "← previous"), (k + 1, "next →")]
        links = [(f"../{REPORT}", title), *((names[i], text) for i, text in neighbours if 0 <= i < len(rows))]
        try:
            case = load_case(folder / name, row)
        except ValueError as error:  # one damaged record must not cost the pages of the others
            cards.append(Card(name, name))
            text = page("damaged.html", title=name, links=links, reason=str(error))
        else:
            cards.append(card(case))
            text = lesion_page(case, links)
        _write(out / PAGES / names[k], text)
    for number in range(2, page_count(cards) + 1):
        _write(out / PAGES / f"gallery-{number:03d}.html", gallery_page(cards, title, number))
    return cards


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        reason = f"cannot be written to {path.parent} ({error.strerror}): name another folder"
        raise ValueError(f"the report {reason}") from None
    return path
