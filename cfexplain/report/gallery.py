"""Cards: a query, its counterfactual and the change at a glance; so many on a page, the rest on further ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cfexplain.report.page import page
from cfexplain.report.picture import Picture, opened_or_none, thumbnail

A_PAGE = 60
"""Cards on one page."""


@dataclass(frozen=True)
class Card:
    """One explanation in a gallery.

    Attributes:
        case: name of its folder.
        name: of the picture.
        href: its page.
        source: class before.
        target: class asked for.
        status: how the search ended.
        verdict: what it is worth; empty where none was given.
        words: the readout's sentences.
        pictures: with what they show.
    """

    case: str
    name: str
    href: str
    source: str
    target: str
    status: str
    verdict: str
    words: str
    pictures: Sequence[tuple[str, Picture]]


def page_of(case: str) -> str:
    """The file name of a case's page: its own name where that is safe on any disk, else with a digest.

    Example:
        >>> page_of("ISIC_0024308-mel"), page_of("a b")
        ('ISIC_0024308-mel.html', 'a-b-c8687a08.html')
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", case).strip(".-")[:100]
    digest = hashlib.sha256(case.encode(errors="surrogatepass")).hexdigest()[:8]
    if plain and plain == case and not case.startswith("gallery-"):
        return f"{plain}.html"
    return f"{plain or 'case'}-{digest}.html"


def cards(folder: Path, rows: Sequence[Mapping[str, Any]], first: int = 0, base: str = "pages/") -> list[Card]:
    """At most `A_PAGE` cards of the cases in a folder, from the `first` on."""
    return [card(folder / str(row["case"]), row, base) for row in rows[first : first + A_PAGE]]


def card(folder: Path, row: Mapping[str, Any], base: str = "pages/") -> Card:
    """The card of one case."""
    texts = {k: str(row.get(k) or "") for k in ("case", "source", "target", "status", "verdict", "words")}
    name, href = str(row.get("image_id") or row["case"]), base + quote(page_of(str(row["case"])))
    return Card(**texts, name=name, href=href, pictures=_pictures(folder))


def further_pages(folder: Path, rows: Sequence[Mapping[str, Any]], title: str) -> Iterator[tuple[str, str]]:
    """File name and HTML of each gallery page after the first."""
    for first in range(A_PAGE, len(rows), A_PAGE):
        number = first // A_PAGE + 1
        yield (
            gallery_file(number),
            page(
                "gallery.html",
                title=f"{title}: {first + 1} to {min(first + A_PAGE, len(rows))} of {len(rows)}",
                cards=cards(folder, rows, first, base=""),
                pager=pager(len(rows), number, base="", home="../report.html"),
            ),
        )


def pager(total: int, current: int = 1, base: str = "pages/", home: str = "report.html") -> list[dict[str, Any]]:
    """Number and address of every gallery page; empty where one is enough."""
    count = -(-total // A_PAGE)
    if count < 2:
        return []
    return [
        {"number": k, "href": f"{home}#gallery" if k == 1 else base + gallery_file(k), "current": k == current}
        for k in range(1, count + 1)
    ]


def gallery_file(number: int) -> str:
    """The file name of a gallery page."""
    return f"gallery-{number:03d}.html"


def _pictures(folder: Path) -> list[tuple[str, Picture]]:
    """Query, counterfactual, and the change where it is a bare picture of the same size, no figure."""
    files = (("before", "query.png"), ("after", "counterfactual.png"), ("change", "change.png"))
    opened = {what: found for what, name in files if (found := opened_or_none(folder / name)) is not None}
    if "change" in opened and ("before" not in opened or opened["change"].size != opened["before"].size):
        del opened["change"]
    return [(what, thumbnail(image)) for what, image in opened.items()]
