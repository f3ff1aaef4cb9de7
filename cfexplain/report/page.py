"""A page that needs nothing beside it: templates, style and script inside it, nothing may be fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfexplain.explanation.record import NOTICE
from cfexplain.report import glossary
from cfexplain.version import versions

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"

LICENCE = (
    "The classifiers ham10000 and witness are learned from HAM10000 (Tschandl, Rosendahl, Kittler 2018), CC BY-NC 4.0: "
    "non-commercial use only. Pictures keep the licence of the data they come from."
)
"""What is said where a result does not name the licence of its classifier."""

BLANK = "–"
"""Stands for what is not known."""


def page(template: str, **values: Any) -> str:
    """Fill a template of `templates/`; every value is escaped, the banner stands on top.

    Args:
        template: name of the file.
        values: what it shows; `licence` replaces the general notice where it is given.
    """
    script = _text("script.js")
    return (
        environment()
        .get_template(template)
        .render(
            {
                "notice": NOTICE,
                "style": _markup(_text("style.css")),
                "script": _markup(script),
                "policy": policy(script),
                "version": versions()["cfexplain"],
                **values,
                "licence": values.get("licence") or LICENCE,
            }
        )
    )


def policy(script: str) -> str:
    """A content security policy: this one script, inline style, pictures as data; nothing is fetched or sent."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def data(value: Any) -> Markup:
    """Plain values as JSON inside a script element: no text in them can close it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return _markup(text)


def number(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits; words as they are; a dash for nothing.

    Example:
        >>> number(0.12345), number(1500), number(None), number(True)
        ('0.123', '1,500', '–', 'yes')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return BLANK
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace("-", "−")
    if isinstance(value, float):
        return _significant(value, digits).replace("-", "−")
    return str(value)


def aligned(value: Any, span: float) -> str:
    """A number with as many decimals as an axis of this length asks for, so that columns align.

    Example:
        >>> aligned(0.5, 1.0), aligned(12.34, 50.0), aligned(None, 1.0)
        ('0.50', '12.3', '–')
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return BLANK
    places = max(0, 2 - math.floor(math.log10(span) + 1e-9)) if span > 0 else 2
    return f"{value:,.{min(places, 6)}f}".replace("-", "−")


def signed(value: Any, digits: int = 3) -> str:
    """A number with its sign."""
    return f"+{number(value, digits)}" if isinstance(value, int | float) and value > 0 else number(value, digits)


def percent(value: Any) -> str:
    """A share as a percentage; below a hundredth with a digit more.

    Example:
        >>> percent(0.314), percent(0.004), percent(None)
        ('31\u202f%', '0.4\u202f%', '–')
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return BLANK
    places = 1 if 0 < abs(value) < 0.01 or 0.99 < abs(value) < 1 else 0
    return f"{100 * value:.{places}f}\u202f%".replace("-", "−")


def numeric(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Those columns that hold numbers and nothing else that is known."""
    seen = {name: [row[name] for row in rows if row.get(name) is not None] for name in columns}
    return {name for name, values in seen.items() if values and all(isinstance(v, int | float) for v in values)}


def clock(seconds: Any) -> str:
    """A duration in the unit that suits it."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return BLANK
    if seconds < 60:
        return f"{seconds:.1f}\u202fs"
    minutes = seconds / 60
    return f"{minutes:.0f}\u202fmin" if minutes < 90 else f"{minutes / 60:.1f}\u202fh"


@cache
def environment() -> Environment:
    """The templates, with everything escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "signed": signed,
        "fixed": lambda value: f"{value:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0"),
        "bound": lambda text: str(text).replace(" %", "\u202f%"),
        "percent": percent,
        "clock": clock,
        "data": data,
        "numeric": numeric,
        "title": glossary.title,
        "spelled": glossary.spelled,
        "plain": lambda text: str(text).replace("_", " "),
        "token": lambda text: re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-") or "x",
    }
    made.globals |= {"BLANK": BLANK, "VERDICTS": glossary.VERDICTS, "SIGNS": glossary.OUTCOMES}
    return made


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are there: neither None nor undefined nor empty."""
    return {k: v for k, v in values.items() if v is not None and v == v and v != ""}


def _significant(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    return f"{value:,.0f}" if abs(value) >= 1 else text


@cache
def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8").strip()


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)
