"""Folders of results as pages: which kind a folder is, what is loaded from it once, and which files are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cfexplain.explanation.explanation import Explanation
from cfexplain.explanation.folder import load
from cfexplain.images import write_whole
from cfexplain.report import gallery
from cfexplain.report.audit import AuditRows, audit_page
from cfexplain.report.gallery import PAGES, Card, card
from cfexplain.report.lesion import Case, Link, Maps, lesion_page
from cfexplain.report.page import page

REPORT = "report.html"


def render(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of an explanation, of an audit, or of a folder of explanations, and the pages it links to.

    Each file is self-contained and works offline; report.html is written last.

    Args:
        folder: as `cfexplain explain` or `cfexplain audit` wrote it.
        out: folder for report.html and pages/; None is `folder` itself.

    Returns:
        The path of report.html.

    Raises:
        ValueError: the folder is none of these, holds nothing that can be shown, or cannot be written to.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: name one that explain or audit wrote")
    return _write(_pages(folder), Path(out) if out is not None else folder)


def render_explanation(explanation: Explanation, folder: Path) -> Path:
    """Write the page of an explanation that is at hand into its folder."""
    case = Case(folder.name, explanation, maps=load_maps(folder, explanation))
    return _write([(REPORT, lesion_page(case))], folder)


def load_case(folder: Path, row: Mapping[str, Any] | None = None) -> Case:
    """What a folder holds of one explanation.

    Raises:
        ValueError: it holds none, or a damaged one.
    """
    explanation = load(folder)
    return Case(folder.name, explanation, row or {}, load_maps(folder, explanation))


def load_maps(folder: Path, explanation: Explanation) -> Maps | None:
    """Attribution maps that `cfexplain compare` left in the folder, where they are of the same image and target."""
    try:
        told = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    edit = explanation.edit
    own = {
        "image": explanation.provenance.image,
        "source": explanation.source,
        "target": explanation.target,
        "method": edit.method,
        "seed": edit.seed,
    }
    if not isinstance(told, dict) or any(k in told and told[k] != value for k, value in own.items()):
        return None
    rows = told.get("rows")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return Maps(_content(folder / "comparison.png"), _content(folder / "curves.png"), rows)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _pages(folder: Path) -> Iterator[tuple[str, str]]:
    """Every page as path below the output folder and HTML, the first one last."""
    if (folder / "result.json").is_file():
        yield REPORT, lesion_page(load_case(folder))
    elif (folder / "summary.json").is_file() or (folder / "rows").is_dir():
        audit, cards = AuditRows.read(folder), list[Card]()
        yield from _each(folder / "cases", audit.cases, audit.title, cards)
        yield REPORT, audit_page(audit, cards)
    elif lesions := sorted(path.parent for path in folder.glob("*/result.json")):
        cards, title = [], f"{len(lesions)} lesion{'' if len(lesions) == 1 else 's'} of {folder.resolve().name}"
        yield from _each(folder, [{"case": path.name} for path in lesions], title, cards)
        pager = gallery.pager(len(cards))
        yield REPORT, page("gallery.html", title=title, cards=cards[: gallery.A_PAGE], pager=pager)
    else:
        raise ValueError(
            f"{folder} holds nothing to report: name a lesion's folder (with result.json), an audit's folder "
            "(with summary.json or rows/), or a folder of lesions' folders"
        )


def _each(
    folder: Path, rows: Sequence[Mapping[str, Any]], title: str, cards: list[Card]
) -> Iterator[tuple[str, str]]:
    """The page of each case with links to its neighbours, then the gallery's further pages; `cards` are filled in."""
    names = [gallery.page_of(str(row["case"])) for row in rows]
    for k, row in enumerate(rows):
        links = [Link(f"../{REPORT}", title)]
        links += [Link(quote(names[k - 1]), "← previous")] if k > 0 else []
        links += [Link(quote(names[k + 1]), "next →")] if k + 1 < len(rows) else []
        try:
            case = load_case(folder / str(row["case"]), row)
        except ValueError as error:  # one damaged record must not take the others' pages
            yield f"{PAGES}/{names[k]}", page("damaged.html", title=str(row["case"]), links=links, reason=str(error))
            cards.append(Card.damaged(str(row["case"])))
            continue
        yield f"{PAGES}/{names[k]}", lesion_page(case, links)
        cards.append(card(case))
    for name, text in gallery.further_pages(cards, title):
        yield f"{PAGES}/{name}", text


def _write(pages: Iterable[tuple[str, str]], out: Path) -> Path:
    """Write each page whole, and give the last one's path."""
    path = out / REPORT
    try:
        for name, text in pages:
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text.encode())
    except OSError as error:
        raise ValueError(f"the report cannot be written to {out} ({error.strerror}): name another folder") from None
    return path
