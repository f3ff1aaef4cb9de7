"""What tells one photograph from another: the file's digest and a small grey picture, and the search for twins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from cfexplain.images import ImageError, load_picture, resize
from cfexplain.types import Image
from cfexplain_datasets.lesion import LesionDataset

SIDE = 64
"""Pixels a side of the small grey picture."""

ALIKE_COARSE = 0.93
"""Pairs whose 16-pixel pictures correlate less are not looked at closely."""

ALIKE_FINE = 0.7
"""Pairs whose fine structure correlates at least so much show the same photograph.

Ours, measured by eye on all pairs near it: in HAM10000 pairs of different lesions end at 0.69, and pictures of one
lesion that are filed under two begin at 0.71; in ISIC 2017 no pair of different lesions exceeds 0.6, and the copies
that were recoloured and cut anew lie above 0.67.
"""

_SHIFT = 6
_BLOCK = 1024


@dataclass(frozen=True)
class Twin:
    """Two images that show the same photograph.

    Attributes:
        first: id.
        second: id.
        identical: the files agree byte for byte.
        likeness: correlation of the fine structure, 1 for identical files.
    """

    first: str
    second: str
    identical: bool
    likeness: float


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The fingerprint of every readable image of a data set.

    Attributes:
        ids: of the readable images, in the order of the table.
        digests: SHA-256 of each file.
        grey: each picture as grey square, shape (n, SIDE, SIDE).
        sizes: height and width of each picture in pixels, shape (n, 2).
        damaged: id and reason of each image that cannot be read.
    """

    ids: tuple[str, ...]
    digests: tuple[str, ...]
    grey: UInt8[np.ndarray, "n s s"]
    sizes: np.ndarray
    damaged: dict[str, str]

    @classmethod
    def of(cls, dataset: LesionDataset, progress: Callable[[int], object] | None = None) -> Fingerprints:
        """Read every picture once; `progress` is called with the number of pictures done."""
        ids, digests, grey, sizes, damaged = [], [], [], [], {}
        for i, name in enumerate(map(str, dataset.table.index)):
            try:
                digest, picture = _read(dataset, i)
            except (ImageError, OSError) as error:
                damaged[name] = str(error)
            else:
                ids.append(name)
                digests.append(digest)
                grey.append(_grey(picture))
                sizes.append(tuple(picture.shape[-2:]))
            if progress is not None:
                progress(i + 1)
        stacked = np.stack(grey) if grey else np.zeros((0, SIDE, SIDE), np.uint8)
        return cls(tuple(ids), tuple(digests), stacked, np.array(sizes).reshape(-1, 2), damaged)

    def twins(self) -> list[Twin]:
        """All pairs that show the same photograph, the most alike first.

        Every pair is compared by its coarse picture; what is alike there is compared by its fine structure
        (details of 1.5 pixels in 64, their strength compressed so that one dark mole on plain skin does not
        decide, at the best shift of up to 6 pixels). Finds copies that were recompressed, resized, recoloured or
        cut a little differently; does not find copies that were turned or mirrored.
        """
        fine: dict[int, np.ndarray] = {}
        found = [t for i, j in _coarsely_alike(self.grey) if (t := self._twin(i, j, fine)) is not None]
        paired = {(t.first, t.second) for t in found}
        found += [t for t in self._identical() if (t.first, t.second) not in paired]
        return sorted(found, key=lambda t: (not t.identical, -t.likeness, t.first))

    def _twin(self, i: int, j: int, fine: dict[int, np.ndarray]) -> Twin | None:
        if self.digests[i] == self.digests[j]:
            return Twin(self.ids[i], self.ids[j], True, 1.0)
        for k in (i, j):
            if k not in fine:
                fine[k] = _fine(self.grey[k])
        likeness = _likeness(fine[i], fine[j])
        return Twin(self.ids[i], self.ids[j], False, likeness) if likeness >= ALIKE_FINE else None

    def _identical(self) -> Iterator[Twin]:
        """Byte-identical files, also where their pictures are too plain to correlate."""
        for _, same in pd.Series(self.ids).groupby(list(self.digests)):
            yield from (Twin(a, b, True, 1.0) for n, a in enumerate(same) for b in list(same)[n + 1 :])


def _read(dataset: LesionDataset, index: int) -> tuple[str, Image]:
    table: Any = dataset.table
    if "path" not in table:
        image = dataset[index].image
        return hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest(), image
    path = Path(table["path"].iloc[index])
    picture = load_picture(path)
    return hashlib.sha256(path.read_bytes()).hexdigest(), picture


def _grey(picture: Image) -> UInt8[np.ndarray, "s s"]:
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    small = resize((picture * weights).sum(0)[None, None], SIDE)[0, 0]
    grey: np.ndarray = small.clamp(0, 1).mul(255).round().byte().numpy()
    return grey


def _coarsely_alike(grey: np.ndarray) -> Iterator[tuple[int, int]]:
    """Index pairs i < j whose 16-pixel pictures correlate."""
    n, side, tile = len(grey), 16, SIDE // 16
    small = grey.reshape(n, side, tile, side, tile).mean((2, 4), dtype=np.float32).reshape(n, side * side)
    small -= small.mean(1, keepdims=True)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-3)
    for start in range(0, n, _BLOCK):
        alike = small[start : start + _BLOCK] @ small[start:].T
        for i, j in zip(*np.nonzero(alike >= ALIKE_COARSE), strict=True):
            if j > i:
                yield start + int(i), start + int(j)


def _fine(grey: UInt8[np.ndarray, "s s"]) -> np.ndarray:
    """Spectrum of the fine structure, of unit energy."""
    values = grey.astype(np.float32)
    detail = values - gaussian_filter(values, 1.5)
    detail = np.tanh(detail / (2 * (np.median(np.abs(detail)) + 0.5)))
    window: Float[np.ndarray, " s"] = np.hanning(SIDE + 2)[1:-1]
    detail = detail * np.outer(window, window)
    detail -= detail.mean()
    spectrum: np.ndarray = np.fft.rfft2(detail / max(float(np.linalg.norm(detail)), 1e-6))
    return spectrum


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Largest correlation over small shifts."""
    shifted = np.fft.irfft2(first * second.conj(), (SIDE, SIDE))
    return float(np.roll(shifted, (_SHIFT, _SHIFT), (0, 1))[: 2 * _SHIFT + 1, : 2 * _SHIFT + 1].max())
