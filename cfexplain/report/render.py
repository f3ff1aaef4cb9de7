"""A folder of results as pages: which kind it is, which files are written where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cfexplain.images import write_whole
from cfexplain.report import gallery
from cfexplain.report.audit import Audit, whole_page
from cfexplain.report.lesion import Lesion, Link, case_page, lesion_page
from cfexplain.report.page import page

REPORT, PAGES = "report.html", "pages"


def render(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a lesion, of an audit, or of a folder of lesions, and the pages that it leads to.

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
    target = Path(out) if out is not None else folder
    try:
        return _write(_pages(folder), target)
    except OSError as error:
        raise ValueError(f"the report cannot be written to {target} ({error.strerror}): name another folder") from None


def _pages(folder: Path) -> Iterator[tuple[str, str]]:
    """Every page as path below the output folder and HTML, the first one last."""
    if (folder / "result.json").is_file():
        yield REPORT, lesion_page(folder)
    elif (folder / "summary.json").is_file() or (folder / "rows").is_dir():
        yield from _audit(folder)
    elif lesions := sorted(path.parent for path in folder.glob("*/result.json")):
        yield from _lesions(folder, lesions)
    else:
        raise ValueError(
            f"{folder} holds nothing to report: name a lesion's folder (with result.json), an audit's folder "
            "(with summary.json or rows/), or a folder of lesions' folders"
        )


def _audit(folder: Path) -> Iterator[tuple[str, str]]:
    audit = Audit.read(folder)
    yield from _each(folder / "cases", audit.cases, audit.title)
    yield REPORT, whole_page(audit)


def _lesions(folder: Path, lesions: Sequence[Path]) -> Iterator[tuple[str, str]]:
    rows = [_row(Lesion.read(path)) for path in lesions]
    title = f"{len(rows)} lesion{'' if len(rows) == 1 else 's'} of {folder.resolve().name}"
    yield from _each(folder, rows, title)
    yield REPORT, page("gallery.html", title=title, cards=gallery.cards(folder, rows), pager=gallery.pager(len(rows)))


def _each(folder: Path, rows: Sequence[Mapping[str, Any]], title: str) -> Iterator[tuple[str, str]]:
    """The page of each case, with links to its neighbours, and the gallery's further pages."""
    names = [gallery.page_of(str(row["case"])) for row in rows]
    for k, row in enumerate(rows):
        links = [Link(f"../{REPORT}", title)]
        links += [Link(quote(names[k - 1]), "← previous")] if k > 0 else []
        links += [Link(quote(names[k + 1]), "next →")] if k + 1 < len(rows) else []
        yield f"{PAGES}/{names[k]}", case_page(Lesion.read(folder / str(row["case"]), row), links)
    for name, text in gallery.further_pages(folder, rows, title):
        yield f"{PAGES}/{name}", text


def _row(lesion: Lesion) -> dict[str, Any]:
    """What a card shows of a lesion that belongs to no audit."""
    verdict = lesion.verdict.get("kind")
    shown = {k: lesion.record.get(k) for k in ("source", "target", "status", "words")}
    return {"case": lesion.folder.name, "image_id": lesion.name, "verdict": verdict, **shown}


def _write(pages: Iterable[tuple[str, str]], out: Path) -> Path:
    """Write each page whole, and give the last one's path."""
    path = out / REPORT
    for name, text in pages:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    return path
