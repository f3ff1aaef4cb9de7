"""Cards: a query, its counterfactual and the change at a glance; so many on a page, the rest on further ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from PIL import Image as PIL

from cfexplain.explanation import plot
from cfexplain.images import to_uint8
from cfexplain.report.lesion import Case
from cfexplain.report.page import page
from cfexplain.report.picture import Picture, thumbnail

A_PAGE = 60
"""Cards on one page."""

PAGES = "pages"
"""Folder of the cases' pages, beside report.html."""


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

    @classmethod
    def damaged(cls, case: str) -> Card:
        """The card of a case whose record cannot be read."""
        return cls(case, case, f"{PAGES}/{quote(page_of(case))}", "", "", "damaged", "", "", [])


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


def card(case: Case) -> Card:
    """The card of one case, its address relative to report.html."""
    explanation, edit = case.explanation, case.explanation.edit
    change = PIL.fromarray(to_uint8(plot.change_image(edit.difference[0])))
    before, after = (PIL.fromarray(to_uint8(image[0])) for image in (edit.query, edit.image))
    return Card(
        case=case.name,
        name=str(case.row.get("image_id") or case.image),
        href=f"{PAGES}/{quote(page_of(case.name))}",
        source=explanation.source,
        target=explanation.target,
        status=explanation.status.value,
        verdict=explanation.verdict.kind.value,
        words=explanation.words,
        pictures=[(what, thumbnail(p)) for what, p in (("before", before), ("after", after), ("change", change))],
    )


def further_pages(cards: Sequence[Card], title: str) -> Iterator[tuple[str, str]]:
    """File name and HTML of each gallery page after the first."""
    for first in range(A_PAGE, len(cards), A_PAGE):
        number = first // A_PAGE + 1
        shown = [replace(c, href=c.href.removeprefix(f"{PAGES}/")) for c in cards[first : first + A_PAGE]]
        yield (
            gallery_file(number),
            page(
                "gallery.html",
                title=f"{title}: {first + 1} to {first + len(shown)} of {len(cards)}",
                cards=shown,
                pager=pager(len(cards), number, base="", home="../report.html"),
            ),
        )


def pager(total: int, current: int = 1, base: str = f"{PAGES}/", home: str = "report.html") -> list[dict[str, Any]]:
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
