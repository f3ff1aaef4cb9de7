"""Picture files as they are: grey or coloured, 8 or 16 bits, with their transparency; read, and written alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import LARGEST_SIDE, SMALLEST_SIDE, ImageError, load_picture, write_whole

Bits = Literal[8, 16]
SIXTEEN = (".png", ".tif", ".tiff")
"""Kinds of file that hold sixteen bits, and transparency too."""

WITHOUT_ALPHA = (".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture file's content.

    Attributes:
        values: in [0, 1], shape (1, c, h, w), c = 1 for a grey picture and 3 for a coloured one.
        alpha: opacity in [0, 1], shape (1, 1, h, w); None where the file has none.
        bits: of each value in the file.
    """

    values: Float[Tensor, "1 c h w"]
    alpha: Float[Tensor, "1 1 h w"] | None = None
    bits: Bits = 8

    def of(self, values: Float[Tensor, "1 c h w"]) -> Picture:
        """The same file with other values; where their size is another, the opacity is resized to it."""
        alpha = self.alpha
        if alpha is not None and alpha.shape[-2:] != values.shape[-2:]:
            alpha = torch.nn.functional.interpolate(alpha, values.shape[-2:], mode="bilinear", align_corners=False)
        return replace(self, values=values, alpha=alpha)


def read(path: str | Path) -> Picture:
    """Read a picture at its own size and depth, turned upright by its EXIF tag.

    Raises:
        ImageError: the file is missing, no picture, damaged, or smaller or larger than can be used.
    """
    array = _decoded(Path(path))
    if array is None:  # palettes, CMYK, WebP with oddities, and all that is wrong: one place knows them
        return Picture(load_picture(path)[None])
    height, width = array.shape[:2]
    if min(height, width) < SMALLEST_SIDE or max(height, width) > LARGEST_SIDE:
        raise ImageError(
            f"{path} is {width}x{height} pixels: at least {SMALLEST_SIDE} and at most {LARGEST_SIDE} a side can be "
            "restored; cut it into parts"
        )
    bits: Bits = 16 if array.dtype == np.uint16 else 8
    values = torch.from_numpy(array.astype(np.float32) / (2**bits - 1)).permute(2, 0, 1)[None]
    if values.shape[1] in (2, 4):
        return Picture(values[:, :-1].contiguous(), values[:, -1:].contiguous(), bits)
    return Picture(values.contiguous(), None, bits)


def write(path: str | Path, picture: Picture) -> None:
    """Write a picture, rounded to its bits, whole or not at all; the file's ending says which kind.

    Raises:
        ImageError: the kind of file cannot hold sixteen bits or opacity, or is not known.
    """
    path = Path(path)
    check_kind(path, picture)
    import cv2

    done, content = cv2.imencode(path.suffix.lower(), _array(picture), _quality(path))
    if not done:
        raise ImageError(f"{path} cannot be written")
    write_whole(path, content.tobytes())


def check_kind(path: Path, picture: Picture) -> None:
    """Refuse a kind of file that would lose something, before any work is done."""
    kind = path.suffix.lower()
    if kind not in (*SIXTEEN, *WITHOUT_ALPHA, ".webp"):
        raise ImageError(f"{path} is no kind of picture that can be written: end its name in .png, .tif or .jpg")
    if picture.bits == 16 and kind not in SIXTEEN:
        raise ImageError(f"the picture has 16 bits, which {kind} cannot hold: end the name {path} in .png or .tif")
    if picture.alpha is not None and kind in WITHOUT_ALPHA:
        raise ImageError(f"the picture has transparency, which {kind} cannot hold: end the name {path} in .png")


def _decoded(path: Path) -> np.ndarray | None:
    """Values in the order red, green, blue, opacity, shape (h, w, c); None where another reader has to look at it."""
    import cv2
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            floating = opened.mode == "F"
            turn = 1 if opened.format == "TIFF" else opened.getexif().get(0x0112, 1)  # TIFFs are turned on reading
            if opened.mode in ("P", "PA") and opened.has_transparency_data:
                return _upright(np.array(opened.convert("RGBA")), turn)
            if opened.format == "TIFF" and _eight_bits_with_opacity(opened):
                return np.array(opened)
            hidden = opened.info.get("transparency") if opened.mode in ("L", "I;16") else None
            if opened.mode in ("P", "PA", "CMYK", "1"):
                return None
        array = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError, cv2.error):
        return None
    if floating:
        raise ImageError(f"{path} holds floating point values: save it with 8 or 16 bits a value")
    if array is None or array.dtype not in (np.uint8, np.uint16):
        return None
    array = array[..., None] if array.ndim == 2 else array
    if isinstance(hidden, int) and array.shape[2] == 1:  # a grey that stands for nothing, which OpenCV does not know
        opaque = 255 if array.dtype == np.uint8 else 65535
        array = np.concatenate([array, np.where(array == hidden, 0, opaque).astype(array.dtype)], 2)
    order = {1: [0], 2: [0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(array.shape[2])
    return None if order is None else np.ascontiguousarray(_upright(array, turn)[..., order])


def _eight_bits_with_opacity(opened: Any) -> bool:
    """Whether a TIFF is one of those whose opacity OpenCV leaves out (grey) or multiplies the colours by."""
    deepest = max(opened.tag_v2.get(258, (8,)))  # BitsPerSample
    return bool(opened.mode == "LA" or (opened.mode == "RGBA" and deepest == 8))


def _upright(array: np.ndarray, turn: int) -> np.ndarray:
    """Turned as the EXIF orientation says, 1 to 8."""
    array = array.swapaxes(0, 1) if turn in (5, 6, 7, 8) else array
    array = array[::-1] if turn in (3, 4, 7, 8) else array
    return array[:, ::-1] if turn in (2, 3, 6, 7) else array


def _array(picture: Picture) -> np.ndarray:
    """The file's values in OpenCV's order."""
    values = picture.values
    if picture.alpha is not None:
        values = torch.cat([values.expand(-1, 3, -1, -1), picture.alpha.to(values)], dim=1)
    top = 2**picture.bits - 1
    array = values[0].detach().cpu().double().clamp(0, 1).mul(top).round().permute(1, 2, 0).numpy()
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
    return np.ascontiguousarray(array[..., order].astype(np.uint16 if picture.bits == 16 else np.uint8))


def _quality(path: Path) -> list[Any]:
    import cv2

    return [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix.lower() in (".jpg", ".jpeg") else []
