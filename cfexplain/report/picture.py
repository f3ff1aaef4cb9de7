"""Pictures inside a page: WebP as data, with their size, so that nothing moves while the page opens."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PIL
from PIL import UnidentifiedImageError

from cfexplain.explanation import plot
from cfexplain.images import to_uint8
from cfexplain.types import Image

LARGEST = 1280
"""Pixels a side of a picture in a page at most."""

EXACT = 320
"""Up to so many pixels a side a picture is kept without loss."""

THUMBNAIL = 96
"""Pixels a side of a picture in a gallery."""

QUALITY, THUMBNAIL_QUALITY = 86, 72
STOPS = 11


@dataclass(frozen=True)
class Picture:
    """A picture as text for `src`.

    Attributes:
        uri: data URI.
        width: in pixels.
        height: in pixels.
    """

    uri: str
    width: int
    height: int


def picture(image: PIL.Image, largest: int = LARGEST, quality: int = QUALITY) -> Picture:
    """A picture as WebP, without loss where it is small enough.

    Args:
        image: in any mode.
        largest: pixels a side at most; larger ones are reduced.
        quality: of the larger ones, 0 to 100.
    """
    shown = image.convert("RGB")
    exact = max(shown.size) <= EXACT and largest > THUMBNAIL
    shown.thumbnail((largest, largest), PIL.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "WEBP", lossless=exact, quality=40 if exact else quality, method=4)
    return Picture(_uri(buffer.getvalue()), *shown.size)


def of_image(image: Image) -> Picture:
    """A picture of an image with values in [0, 1], shape (3, h, w)."""
    return picture(PIL.fromarray(to_uint8(image)))


def of_file(content: bytes | None, largest: int = LARGEST) -> Picture | None:
    """A picture from a file's content; None where there is none."""
    return None if content is None else picture(PIL.open(io.BytesIO(content)), largest)


def thumbnail(image: PIL.Image) -> Picture:
    """A small picture for a gallery."""
    return picture(image, THUMBNAIL, THUMBNAIL_QUALITY)


def opened_or_none(path: Path) -> PIL.Image | None:
    """The picture in a file, or None: a page stays useful without it."""
    try:
        with PIL.open(path) as opened:
            opened.load()
            return opened.copy()
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        return None


@dataclass(frozen=True)
class ChangeMap:
    """A signed change in colours, with the scale that they stand for.

    Attributes:
        picture: the map.
        scale: intensity of the strongest colour, in either direction.
        colours: from most darkened to most lightened, as CSS.
    """

    picture: Picture
    scale: float
    colours: Sequence[str]


def change_map(change: Any) -> ChangeMap:
    """A change of shape (3, h, w) as colours: the same ones, and the same scales, as in `plot`."""
    import matplotlib

    values = plot.change_values(change)
    scale = plot.change_scale(values)
    colours = matplotlib.colormaps["PuOr_r"]
    drawn = colours((values / scale + 1) / 2, bytes=True)[..., :3]
    stops = [tuple(round(255 * c) for c in colours(k / (STOPS - 1))[:3]) for k in range(STOPS)]
    return ChangeMap(picture(PIL.fromarray(np.asarray(drawn))), scale, [f"rgb({r} {g} {b})" for r, g, b in stops])


def strip(frames: Sequence[np.ndarray], side: int = 192) -> Picture:
    """Frames of shape (h, w, 3), side by side in one picture, each `side` pixels high."""
    width = max(1, round(side * frames[0].shape[1] / frames[0].shape[0]))
    small = [PIL.fromarray(frame).resize((width, side), PIL.Resampling.BICUBIC) for frame in frames]
    whole = PIL.new("RGB", (width * len(small), side))
    for k, frame in enumerate(small):
        whole.paste(frame, (k * width, 0))
    return picture(whole, largest=16000, quality=80)


def _uri(content: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"
