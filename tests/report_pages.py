"""What every page must be."""

import html
import re
from html.parser import HTMLParser

from cfexplain.explanation.record import NOTICE

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Outline(HTMLParser):
    """The parts of a page that the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings, self.images, self.addresses, self.ids, self.tags = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(values)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "poster", "data", "srcset")]
        if "id" in values:
            self.ids.append(values["id"])


def assert_sound(text: str) -> Outline:
    """What every page must be: whole, with the notice, and without anything to fetch."""
    outline = Outline(text)
    assert text.startswith("<!doctype html>")
    assert NOTICE in text
    assert "default-src 'none'; script-src 'sha256-" in html.unescape(text)
    assert not re.search(r"(?i)(src|href)\s*=\s*[\"']?\s*(https?:|//|javascript:)", text)
    assert "@import" not in text
    assert not re.search(r"url\((?!#|&quot;#)", text)
    assert '<link rel="stylesheet"' not in text
    assert outline.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
    assert all({"alt", "width", "height"} <= set(image) for image in outline.images)
    assert len(outline.ids) == len(set(outline.ids))
    return outline
