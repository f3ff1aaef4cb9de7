"""Galleries: query, counterfactual and change of each explanation at a glance, spread over several pages."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cfexplain.explanation import plot
from cfexplain.report.lesion import Case
from cfexplain.report.page import THUMBNAIL, Picture, of_image, page

A_PAGE = 60  # Cards on one page.
PAGES = "pages"  # Folder of the pages that report.html links to.


@dataclass(frozen=True)
class Card:
    """One explanation in a gallery; it holds no tensors."""

    case: str  # Name of its folder.
    name: str  # Of the image.
    flip: str = ""  # From the predicted to the target class.
    status: str = "damaged"  # How the search ended; `damaged` where the record cannot be read.
    verdict: str = "none"
    pictures: Sequence[Picture] = ()  # Query, counterfactual and change.

    @property
    def page(self) -> str:
        """File name of its page."""
        return page_name(self.case)


def card(case: Case) -> Card:
    """The card of one case."""
    explanation, edit = case.explanation, case.explanation.edit
    images = (edit.query[0], edit.image[0], plot.change_image(edit.difference[0]))
    return Card(
        case=case.name,
        name=str(case.row.get("image_id") or case.image),
        flip=f"{explanation.source} → {explanation.target}",
        status=explanation.status.value,
        verdict=explanation.verdict.kind.value,
        pictures=[of_image(image, THUMBNAIL, quality=72) for image in images],
    )


def page_name(case: str) -> str:
    """The file name of a case's page: the case's name where that is safe on any disk, else one with a digest."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", case).strip(".-")[:100]
    if safe and safe == case and not case.startswith("gallery-"):
        return f"{safe}.html"
    digest = hashlib.sha256(case.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{safe or 'case'}-{digest}.html"


def gallery_page(cards: Sequence[Card], title: str, number: int = 1) -> str:
    """One page of a gallery; the first is report.html, the others lie among the pages of the cases."""
    first = A_PAGE * (number - 1)
    shown = cards[first : first + A_PAGE]
    part = f": {first + 1} to {first + len(shown)} of {len(cards)}" if number > 1 else ""
    return page("gallery.html", title=f"{title}{part}", cards=shown, count=page_count(cards), current=number)


def page_count(cards: Sequence[Card]) -> int:
    """Number of pages of a gallery."""
    return -(-len(cards) // A_PAGE)
