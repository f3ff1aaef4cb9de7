"""Self-contained HTML pages: style, script and images are inside the file; nothing is fetched."""

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cfexplain.explanation.record import NOTICE
from cfexplain.report import glossary
from cfexplain.version import versions

TEMPLATES = Path(__file__).parent / "templates"

LICENCE = (  # Shown where a result does not name the licence of its classifier.
    "The classifiers ham10000 and witness were trained on HAM10000 (Tschandl, Rosendahl, Kittler 2018), CC BY-NC 4.0: "
    "non-commercial use only. Images keep the licence of their data set."
)
BLANK = "–"  # Shown for unknown values.


def page(template: str, **values: Any) -> str:
    """Render a template of `templates/` as a whole page; every value is escaped.

    Args:
        template: name of the file.
        values: what it shows; `licence` replaces the general notice.
    """
    values["licence"] = values.get("licence") or LICENCE
    return environment().get_template(template).render(values)


@cache
def environment() -> Environment:
    """The templates with their filters and constants; everything is escaped."""
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8").strip() for name in ("style.css", "script.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    env.filters |= {
        "number": number,
        "aligned": aligned,
        "fixed": lambda value: f"{value:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0"),
        "bound": lambda text: str(text).replace(" %", "\u202f%"),
        "percent": percent,
        "clock": clock,
        "numeric": numeric,
        "title": glossary.title,
        "spelled": glossary.spelled,
        "plain": lambda text: str(text).replace("_", " "),
        "token": lambda text: re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-") or "x",
    }
    env.globals |= {
        "BLANK": BLANK,
        "VERDICTS": glossary.VERDICTS,
        "SIGNS": glossary.SIGNS,
        "APPEARANCE": glossary.APPEARANCE,
        "notice": NOTICE,
        "style": Markup(style),
        "script": Markup(script),
        # This script, inline style and inline images, and no request at all.
        "policy": f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "version": versions()["cfexplain"],
    }
    return env


def number(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits; text as it is; a dash for unknown values.

    Example:
        >>> number(0.12345), number(1500), number(1234.5), number(None), number(True)
        ('0.123', '1,500', '1,234', '–', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return BLANK if value is None else str(value)
    if not math.isfinite(value):
        return BLANK
    text = f"{value:.{digits}g}"
    if isinstance(value, int):
        text = f"{value:,}"
    elif value.is_integer() or ("e" in text and abs(value) >= 1):
        text = f"{value:,.0f}"
    return text.replace("-", "−")


def aligned(value: Any, span: float) -> str:
    """A number with as many decimals as an axis of this length needs, so that columns align.

    Example:
        >>> aligned(0.5, 1.0), aligned(12.34, 50.0), aligned(None, 1.0)
        ('0.50', '12.3', '–')
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return BLANK
    places = max(0, 2 - math.floor(math.log10(span) + 1e-9))
    return f"{value:,.{min(places, 6)}f}".replace("-", "−")


def percent(value: Any) -> str:
    """A share as a percentage, with one decimal next to 0 and 100.

    Example:
        >>> percent(0.314), percent(0.004), percent(None)
        ('31\u202f%', '0.4\u202f%', '–')
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return BLANK
    places = 1 if 0 < abs(value) < 0.01 or 0.99 < abs(value) < 1 else 0
    return f"{100 * value:.{places}f}\u202f%".replace("-", "−")


def numeric(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The columns whose known values are all numbers."""
    known = {name: [row[name] for row in rows if row.get(name) is not None] for name in columns}
    return {name for name, values in known.items() if values and all(isinstance(v, int | float) for v in values)}


def clock(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 60:
        return f"{seconds:.1f}\u202fs"
    minutes = seconds / 60
    return f"{minutes:.0f}\u202fmin" if minutes < 90 else f"{minutes / 60:.1f}\u202fh"
