"""Images inside a page: WebP as data URIs, with their size, so that the layout is stable while the page loads."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image as PIL

from cfexplain.images import to_uint8
from cfexplain.types import Image, Images

LARGEST = 1280  # Longer side of an image in a page at most, in pixels.
EXACT = 320  # Images up to this many pixels a side are stored without loss.
THUMBNAIL = 96  # Longer side of an image in a gallery, in pixels.


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def picture(image: PIL.Image, largest: int = LARGEST, quality: int = 86) -> Picture:
    """An image as WebP, without loss where it is small enough.

    Args:
        image: in any mode.
        largest: longer side at most, in pixels; larger ones are reduced.
        quality: of lossy compression, 0 to 100.
    """
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


def strip(frames: Images, side: int = 192) -> Picture:
    """Images side by side, each `side` pixels high."""
    width = max(1, round(side * frames.shape[-1] / frames.shape[-2]))
    resized = [PIL.fromarray(to_uint8(f)).resize((width, side), PIL.Resampling.BICUBIC) for f in frames]
    return picture(PIL.fromarray(np.hstack([np.asarray(frame) for frame in resized])), largest=16000, quality=80)
