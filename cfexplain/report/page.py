"""Self-contained HTML pages: style, script and images (WebP as data URIs) are inside the file; nothing is fetched."""

import base64
import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image as PIL

from cfexplain.explanation.record import NOTICE
from cfexplain.images import to_uint8
from cfexplain.report import glossary
from cfexplain.types import Image, Images
from cfexplain.version import versions

TEMPLATES = Path(__file__).parent / "templates"

LICENCE = (  # Shown where a result does not name the licence of its classifier.
    "The classifiers ham10000 and witness were trained on HAM10000 (Tschandl, Rosendahl, Kittler 2018), CC BY-NC 4.0: "
    "non-commercial use only. Images keep the licence of their data set."
)
BLANK = "–"  # Shown for unknown values.
LARGEST = 1280  # Longer side of an image in a page at most, in pixels.
EXACT = 320  # Images up to this many pixels a side are stored without loss.
THUMBNAIL = 96  # Longer side of an image in a gallery, in pixels.


def page(template: str, **values: Any) -> str:
    """Render a template of `templates/` as a whole page with these values, of which `licence` replaces `LICENCE`."""
    return environment().get_template(template).render(values)


@cache
def environment() -> Environment:
    """The templates with their filters and constants; everything is escaped."""
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8").strip() for name in ("style.css", "script.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    env = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    env.trim_blocks = env.lstrip_blocks = True
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
        "LICENCE": LICENCE,
        "licence": "",
        "notice": NOTICE,
        "style": style,
        "script": script,
        # This script, inline style and inline images, and no request at all.
        "policy": f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "version": versions()["cfexplain"],
    }
    return env


def number(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits; text as it is; a dash for unknown values."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return BLANK
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.{digits}g}"
    whole = value.is_integer() or ("e" in text and abs(value) >= 1)
    return (f"{value:,.0f}" if whole else text).replace("-", "−")


def aligned(value: Any, span: float) -> str:
    """A number with as many decimals as an axis of this length needs, so that columns align."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return BLANK
    places = max(0, 2 - math.floor(math.log10(span) + 1e-9))
    return f"{value:,.{min(places, 6)}f}".replace("-", "−")


def percent(value: Any) -> str:
    """A share as a percentage, with one decimal next to 0 and 100."""
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
    return f"{seconds / 60:.0f}\u202fmin" if seconds < 5400 else f"{seconds / 3600:.1f}\u202fh"


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def picture(image: PIL.Image, largest: int = LARGEST, quality: int = 86) -> Picture:
    """An image as WebP, its longer side at most `largest` pixels; without loss where it is small enough."""
    shown = image.convert("RGB")
    exact = max(shown.size) <= EXACT and largest > THUMBNAIL
    shown.thumbnail((largest, largest), PIL.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "WEBP", lossless=exact, quality=40 if exact else quality, method=4)
    return Picture(f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", *shown.size)


def of_image(image: Image, largest: int = LARGEST, quality: int = 86) -> Picture:
    """An image with values in [0, 1], shape (3, h, w); see `picture`."""
    return picture(PIL.fromarray(to_uint8(image)), largest, quality)


def of_file(content: bytes | None, largest: int = LARGEST) -> Picture | None:
    """An image from a file's content; None where there is none or it is damaged."""
    try:
        return None if content is None else picture(PIL.open(io.BytesIO(content)), largest)
    except (OSError, SyntaxError, ValueError):
        return None


def change_colours() -> list[str]:
    """The colours of `plot.change_image` for CSS, from the darkest to the lightest."""
    from matplotlib import colormaps

    stops = colormaps["PuOr_r"](np.linspace(0, 1, 11), bytes=True)[:, :3].tolist()
    return [f"rgb({r} {g} {b})" for r, g, b in stops]


def strip(frames: Images) -> Picture:
    """Images side by side, each 192 pixels high."""
    size = (max(1, round(192 * frames.shape[-1] / frames.shape[-2])), 192)
    resized = [PIL.fromarray(to_uint8(frame)).resize(size, PIL.Resampling.BICUBIC) for frame in frames]
    return picture(PIL.fromarray(np.hstack([np.asarray(frame) for frame in resized])), largest=16000, quality=80)
