"""Near-duplicate search: fingerprints of image files, and the pairs of them that show the same photograph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from scipy.ndimage import gaussian_filter

from cfexplain.images import ImageError, load_picture, resize
from cfexplain.types import Image

SIDE = 64  # pixels a side of the grey thumbnails
SHIFT = 6  # largest shift between two copies, in pixels of the thumbnails
BLOCK = 1024  # images that are compared with all others at once
COARSE = 0.93  # pairs whose 16-pixel thumbnails correlate less are not compared further
# Pairs whose fine structure correlates at least so much show the same photograph. Our choice, from looking at all pairs
# near it: in HAM10000, pairs of different lesions end at 0.69, and images of one lesion that are filed under two begin
# at 0.71; in ISIC 2017, no pair of different lesions exceeds 0.6, and recoloured and recropped copies lie above 0.67.
FINE = 0.7


@dataclass(frozen=True)
class Twin:
    """The ids of two images that show the same photograph."""

    first: str
    second: str
    kind: Literal["identical", "near-duplicate"]  # identical files agree byte for byte
    likeness: float  # correlation of the fine structure, 1 for identical files

    def __str__(self) -> str:
        return f"{self.first} = {self.second}"


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The fingerprints of all readable images of a table, in its order."""

    ids: list[str]
    digests: list[str]  # SHA-256 of each file
    grey: UInt8[np.ndarray, "n s s"]  # thumbnails, SIDE x SIDE
    sizes: list[tuple[int, int]]  # height and width in pixels
    damaged: list[str]  # ids of the images that cannot be read

    @classmethod
    def of(cls, table: pd.DataFrame) -> Fingerprints:
        """Read every image of the column `path` once."""
        prints: dict[str, tuple[Any, ...]] = {}
        for name, path in table["path"].items():
            with suppress(ImageError, OSError):
                digest, image = hashlib.sha256(Path(path).read_bytes()).hexdigest(), load_picture(path)
                prints[str(name)] = digest, _thumbnail(image), (image.shape[-2], image.shape[-1])
        damaged = [name for name in map(str, table.index) if name not in prints]
        digests, grey, sizes = ([found[k] for found in prints.values()] for k in range(3))
        return cls([*prints], digests, np.array(grey, np.uint8).reshape(-1, SIDE, SIDE), sizes, damaged)

    def twins(self) -> list[Twin]:
        """All pairs that show the same photograph, the most similar first.

        All pairs are compared by coarse thumbnails, similar ones by their fine structure at the best shift. Copies may
        be recompressed, resized, recoloured or slightly recropped, but not rotated or mirrored.
        """
        copies = pd.Series(self.ids).groupby(self.digests)
        found = [Twin(a, b, "identical", 1.0) for _, ids in copies for a, b in combinations(ids, 2)]
        fine = cache(lambda i: _fine_spectrum(self.grey[i]))
        for i, j in _coarsely_similar(self.grey):
            if self.digests[i] != self.digests[j] and (likeness := _largest_correlation(fine(i), fine(j))) >= FINE:
                found.append(Twin(self.ids[i], self.ids[j], "near-duplicate", likeness))
        return sorted(found, key=lambda twin: (twin.kind, -twin.likeness, twin.first))


def _thumbnail(image: Image) -> UInt8[np.ndarray, "s s"]:
    grey = (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    return np.asarray(resize(grey[None, None], SIDE)[0, 0].clamp(0, 1).mul(255).round().byte())


def _coarsely_similar(grey: UInt8[np.ndarray, "n s s"]) -> Iterator[tuple[int, int]]:
    """Index pairs i < j whose 16-pixel thumbnails correlate."""
    n, side, tile = len(grey), 16, SIDE // 16
    small = grey.reshape(n, side, tile, side, tile).mean((2, 4), dtype=np.float32).reshape(n, side * side)
    small -= small.mean(1, keepdims=True)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-3)
    for start in range(0, n, BLOCK):
        alike = small[start : start + BLOCK] @ small[start:].T
        yield from ((start + int(i), start + int(j)) for i, j in np.argwhere(alike >= COARSE) if i < j)


def _fine_spectrum(grey: UInt8[np.ndarray, "s s"]) -> np.ndarray:
    """Spectrum of the fine structure (details of 1.5 of 64 pixels), of unit energy."""
    values = grey.astype(np.float32)
    detail = values - gaussian_filter(values, 1.5)
    # With compressed contrast, so that one dark mole on plain skin does not decide.
    detail = np.tanh(detail / (2 * (np.median(np.abs(detail)) + 0.5)))
    window = np.hanning(SIDE + 2)[1:-1]
    detail = detail * np.outer(window, window)
    detail -= detail.mean()
    return np.asarray(np.fft.rfft2(detail / max(float(np.linalg.norm(detail)), 1e-6)))


def _largest_correlation(first: np.ndarray, second: np.ndarray) -> float:
    shifted = np.fft.irfft2(first * second.conj(), (SIDE, SIDE))
    return float(np.roll(shifted, (SHIFT, SHIFT), (0, 1))[: 2 * SHIFT + 1, : 2 * SHIFT + 1].max())
