"""Image files with their depth and transparency: grey or colour, 8 or 16 bits."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from cfexplain.images import LARGEST_SIDE, SMALLEST_SIDE, ImageError, load_picture, write_whole

DEEP = (".png", ".tif", ".tiff")  # File types with 16 bits and transparency.
OPAQUE = (".jpg", ".jpeg", ".bmp")  # File types without transparency.


@dataclass(frozen=True, eq=False)
class Picture:
    """The content of an image file.

    Attributes:
        values: in [0, 1], shape (1, c, h, w), c = 1 for grey and 3 for colour.
        alpha: opacity in [0, 1], shape (1, 1, h, w); None if the file has none.
        bits: per value in the file.
    """

    values: Float[Tensor, "1 c h w"]
    alpha: Float[Tensor, "1 1 h w"] | None = None
    bits: Literal[8, 16] = 8

    def of(self, values: Float[Tensor, "1 c h w"]) -> "Picture":
        """The same file with other values; the opacity is resized to their size."""
        if self.alpha is None:
            return replace(self, values=values)
        alpha = torch.nn.functional.interpolate(self.alpha, values.shape[-2:], mode="bilinear")
        return replace(self, values=values, alpha=alpha)


def read(path: str | Path) -> Picture:
    """Read an image at its own size and depth, upright by its EXIF tag; an ImageError says why it cannot be used."""
    array = _decoded(Path(path))
    if array is None:  # other colour modes, and every kind of error
        return Picture(load_picture(path)[None])
    height, width = array.shape[:2]
    if min(height, width) < SMALLEST_SIDE or max(height, width) > LARGEST_SIDE:
        raise ImageError(
            f"{path} is {width}x{height} pixels: at least {SMALLEST_SIDE} and at most {LARGEST_SIDE} a side can be "
            "restored; cut it into parts"
        )
    bits: Literal[8, 16] = 16 if array.dtype == np.uint16 else 8
    channels = np.atleast_3d(array).astype(np.float32) / (2**bits - 1)
    values = torch.from_numpy(channels).permute(2, 0, 1)[None].contiguous()
    colours = 3 if values.shape[1] > 2 else 1
    return Picture(values[:, :colours], values[:, colours:] if values.shape[1] > colours else None, bits)


def write(path: str | Path, picture: Picture) -> None:
    """Write an image whole, rounded to its bits, in the format of the name's ending; see `check_kind`."""
    path, values, top = Path(path), picture.values, 2**picture.bits - 1
    check_kind(path, picture)
    if picture.alpha is not None:
        values = torch.cat([values.expand(-1, 3, -1, -1), picture.alpha.to(values)], dim=1)
    array = values[0].detach().cpu().double().clamp(0, 1).mul(top).round().permute(1, 2, 0).numpy()
    array = _swapped(array.astype(np.uint16 if picture.bits == 16 else np.uint8))
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix.lower() in (".jpg", ".jpeg") else []
    written, content = cv2.imencode(path.suffix.lower(), array, quality)
    if not written:
        raise ImageError(f"{path} cannot be written")
    write_whole(path, content.tobytes())


def check_kind(path: Path, picture: Picture) -> None:
    """Refuse a file format that would lose something, before any work is done."""
    kind = path.suffix.lower()
    if kind not in (*DEEP, *OPAQUE, ".webp"):
        raise ImageError(f"{path} is no kind of picture that can be written: end its name in .png, .tif or .jpg")
    if picture.bits == 16 and kind not in DEEP:
        raise ImageError(f"the picture has 16 bits, which {kind} cannot hold: end the name {path} in .png or .tif")
    if picture.alpha is not None and kind in OPAQUE:
        raise ImageError(f"the picture has transparency, which {kind} cannot hold: end the name {path} in .png")


def _decoded(path: Path) -> np.ndarray | None:
    """Grey or RGB and opacity, shape (h, w) or (h, w, c); None for other colour modes and files that cannot be read."""
    try:
        content = path.read_bytes()
        deep = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        with Image.open(io.BytesIO(content)) as opened:  # memory-mapped TIFFs are not turned upright
            if deep is not None and deep.dtype == np.uint16:  # Pillow has no 16-bit colour
                return _deep(deep, opened.info.get("transparency"), opened.getexif() if opened.format == "PNG" else {})
            upright = ImageOps.exif_transpose(opened)
            if opened.has_transparency_data and opened.mode != "1":
                grey = opened.mode == "L" or (opened.mode == "LA" and opened.format == "TIFF")
                return np.array(upright.convert("LA" if grey else "RGBA"))
            return np.array(upright) if opened.mode in ("L", "RGB") else None
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError, cv2.error):
        return None


def _deep(array: np.ndarray, hidden: object, exif: Mapping[int, int]) -> np.ndarray:
    """Sixteen bits as OpenCV reads them, made upright; the grey value `hidden`, if any, is transparent."""
    array = np.atleast_3d(array)
    if isinstance(hidden, int) and array.shape[2] == 1:
        array = np.concatenate([array, np.where(array == hidden, 0, 65535).astype(array.dtype)], 2)
    turn = exif.get(0x0112, 1)
    array = array.swapaxes(0, 1) if turn in (5, 6, 7, 8) else array
    array = array[::-1] if turn in (3, 4, 7, 8) else array
    return _swapped(array[:, ::-1] if turn in (2, 3, 6, 7) else array)


def _swapped(array: np.ndarray) -> np.ndarray:
    """From RGB to OpenCV's BGR or back."""
    return np.ascontiguousarray(array[..., [2, 1, 0, *range(3, array.shape[2])]] if array.shape[2] > 2 else array)
