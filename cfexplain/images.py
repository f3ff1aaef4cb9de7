"""Image files and the classifier's square: load, check, crop, resize, save; the one place that knows image files."""

import io
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as PIL
from PIL import ImageOps, UnidentifiedImageError
from torch import Tensor

from cfexplain.types import Image, Images, Mask

SMALLEST_SIDE = 16  # Pictures with a shorter side than this hold no lesion that a person could see.
LARGEST_SIDE = 4096  # Larger pictures are reduced to this many pixels on the longer side when they are read.
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


class ImageError(ValueError):
    """A picture cannot be used; the message says which, why, and what to do."""


def central_square(picture: Tensor) -> Tensor:
    """The central square of a picture or mask (..., h, w), sharing its memory: the longer side is cut at both ends.

    Example:
        >>> central_square(torch.zeros(3, 450, 600)).shape
        torch.Size([3, 450, 450])
    """
    height, width = picture.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[..., top : top + side, left : left + side]


def resize(images: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c s s"]:
    """Bilinear resize to a square with antialiasing; no work where the size is right."""
    if images.shape[-2:] == (size, size):
        return images
    return torch.nn.functional.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def load_picture(path: str | Path) -> Image:
    """Read a picture at its own resolution as RGB in [0, 1], shape (3, h, w).

    Turned upright by its EXIF tag; grey, palette, CMYK and 16-bit pictures are converted; transparency is
    laid on white; the longer side is reduced to `LARGEST_SIDE`.

    Raises:
        ImageError: the file is missing, not a picture, cut short, or smaller than `SMALLEST_SIDE`.
    """
    picture = _read(path, reduced=True)
    if picture.mode == "F":
        raise ImageError(f"{path} holds floating point values: save it with 8 or 16 bits a value")
    pixels = _rgb(picture)
    if min(pixels.size) < SMALLEST_SIDE:
        width, height = pixels.size
        raise ImageError(
            f"{path} is {width}x{height} pixels: at least {SMALLEST_SIDE} a side are needed to see a lesion"
        )
    pixels.thumbnail((LARGEST_SIDE, LARGEST_SIDE), PIL.Resampling.LANCZOS)
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float().div_(255)


def load_mask(path: str | Path) -> Mask:
    """Read a mask as 0 and 1 (any value above half of the brightest is 1; transparent is black), shape (1, h, w)."""
    read = _read(path)
    deep = read.mode.startswith(("I", "F"))  # to 8 bits they would be cut off at 255
    grey = np.array(read if deep else _opaque(read, "black").convert("L"), dtype=np.float32)
    if not grey.any():
        raise ImageError(f"the mask {path} is empty: paint white what may change, or leave the mask out")
    return torch.from_numpy((grey > grey.max() / 2).astype(np.float32))[None]


def load_images(paths: str | Path | Iterable[str | Path], size: int) -> Images:
    """Read pictures as the classifier's squares, shape (n, 3, size, size); see `square` for the rule."""
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    return torch.stack([square(load_picture(path), size) for path in listed])


def square(picture: Image, size: int) -> Image:
    """The classifier's view of one picture: its central square, bilinearly resized with antialiasing."""
    return resize(central_square(picture)[None], size)[0].clamp(0, 1)


def paste_change(picture: Image, change: Float[Tensor, "3 s s"]) -> Image:
    """Add a change found at the classifier's size to the picture at its own resolution."""
    result = picture.clone()
    cut = central_square(result)
    cut.add_(resize(change[None], cut.shape[-1])[0]).clamp_(0, 1)
    return result


def square_mask(mask: Mask, picture: Image, size: int) -> Mask:
    """A mask of the picture, or of its square, as the classifier's square of zeros and ones.

    One of the picture's shape is cut like the picture, a square one is of the square; anything else is refused.
    """
    height, width = mask.shape[-2:]
    if (height, width) != tuple(picture.shape[-2:]) and not _same_shape(mask, picture) and height != width:
        raise ImageError(
            f"the mask is {width}x{height} but the image is {picture.shape[-1]}x{picture.shape[-2]} pixels: "
            "make the mask on the same picture"
        )
    cut = (resize(central_square(mask)[None], size)[0] > 0.5).float()
    if not cut.any():
        raise ImageError("the mask is empty inside the square that the classifier sees: paint its centre too")
    return cut


def check_images(images: Tensor, channels: tuple[int, ...] = (3,)) -> None:
    """Refuse what is not a finite float batch of images in [0, 1], RGB by default, and say what came instead."""
    shape = f"(n, {' or '.join(map(str, channels))}, h, w)"
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor of shape {shape}, got {type(images).__name__}")
    if images.ndim != 4 or images.shape[1] not in channels:
        raise ValueError(f"images must have shape {shape}, got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point in [0, 1], got {images.dtype}; divide 8-bit values by 255")
    if images.shape[0] == 0:
        raise ValueError("images is an empty batch")
    if not bool(images.isfinite().all()):
        raise ValueError("images hold infinite or undefined values")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"images must lie in [0, 1], got [{low:.3g}, {high:.3g}]; do not normalise them, the classifier does"
        )


def round8(images: Tensor) -> Tensor:
    """The values that survive an 8-bit file: rounded to multiples of 1/255."""
    return images.clamp(0, 1).mul(255).round().div(255)


def precise(values: Tensor) -> Tensor:
    """Values in float32, or in float64 where they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def to_uint8(image: Image) -> np.ndarray:
    """An image as an array for display, shape (h, w, 3), 0 to 255, rounded (not truncated)."""
    array: np.ndarray = round8(image.detach().cpu().float()).mul(255).byte().permute(1, 2, 0).numpy()
    return array


def png_bytes(image: Image) -> bytes:
    """An image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    PIL.fromarray(to_uint8(image)).save(buffer, format="PNG")
    return buffer.getvalue()


def save_png(path: str | Path, image: Image) -> None:
    """Write an image as an 8-bit PNG, whole or not at all."""
    write_whole(path, png_bytes(image))


def readable(name: str) -> str:
    r"""A file's name as text that can be written anywhere; bytes that are no UTF-8 become their numbers.

    Example:
        >>> readable("caf\udce9.jpg")
        'caf\\xe9.jpg'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: str | Path, *, reduced: bool = False) -> PIL.Image:
    """The picture in a file, upright; `reduced` where the format can leave out pixels beyond `LARGEST_SIDE`."""
    if not Path(path).is_file():
        raise ImageError(f"there is no file {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.DecompressionBombWarning)
            opened = PIL.open(path)
        with opened:
            if reduced and max(opened.size) > LARGEST_SIDE:
                opened.draft("RGB", (LARGEST_SIDE, LARGEST_SIDE))
            opened.load()
            return ImageOps.exif_transpose(opened)
    except UnidentifiedImageError:
        raise ImageError(
            f"{path} is not a picture that can be read: give a JPEG, PNG, TIFF, BMP or WebP file"
        ) from None
    except PIL.DecompressionBombError:
        raise ImageError(f"{path} has too many pixels to read safely: save a smaller copy and use that") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        reason = f"is damaged or cut short ({error}): fetch or save it again"
        if isinstance(error, OSError) and error.strerror:
            reason = f"cannot be opened: {error.strerror}"
        raise ImageError(f"{path} {reason}") from None


def _rgb(picture: PIL.Image) -> PIL.Image:
    if picture.mode.startswith("I"):
        values = np.array(picture, dtype=np.float64)
        top = 65535.0 if values.max() > 255 else 255.0
        picture = PIL.fromarray((values / top * 255).round().clip(0, 255).astype(np.uint8))
    return _opaque(picture, "white").convert("RGB")


def _opaque(picture: PIL.Image, ground: str) -> PIL.Image:
    if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
        return picture
    layer = picture.convert("RGBA")
    return PIL.alpha_composite(PIL.new("RGBA", layer.size, ground), layer)


def _same_shape(mask: Tensor, picture: Tensor) -> bool:
    """Whether two sizes have one aspect ratio, up to the rounding of a resized picture."""
    (mask_h, mask_w), (height, width) = mask.shape[-2:], picture.shape[-2:]
    return abs(mask_w * height - mask_h * width) <= max(width, height, mask_w, mask_h)
