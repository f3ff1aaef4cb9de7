"""Pictures that stand in a data set twice: identical files, and near-duplicates that a person takes for one picture.

Two stages find near-duplicates among all pairs. The first compares low frequencies of a small grey square
(a weighted cosine transform) by one matrix product; it is coarse and lets through whatever has the same
layout. The second compares fine detail inside the round field of view, at the best of all small shifts, so
that neither the lens's dark corners nor a brown spot in the middle are mistaken for a resemblance.

Found are the same picture at another size, compression, brightness or white balance, shifted by a few
percent, and two photographs of one lesion taken alike. Not found are mirrored, turned or strongly cropped copies.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image as PIL

from cfexplain_datasets.table import LesionTable

SIDE = 64
"""Pixels a side of the grey square that stands for a picture."""

THRESHOLD = 0.9
"""Similarity of near-duplicates: on HAM10000 and ISIC 2017 no pair of different lesions is this similar."""

_COARSE = 0.6
_FREQUENCIES = 32
_SHIFT = 3
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class Print:
    """What is kept of a picture file to compare it with all others.

    Attributes:
        id: of the sample.
        digest: sha256 of the file.
        size: width and height in pixels; (0, 0) where the file is no readable picture.
        grey: the picture squeezed into a grey square, shape (64, 64), uint8.
    """

    id: str
    digest: str
    size: tuple[int, int]
    grey: np.ndarray


@dataclass(frozen=True)
class Duplicate:
    """Two samples that show one picture.

    Attributes:
        first: id of the sample that comes first in the table.
        second: id of the other.
        similarity: correlation of fine detail, at most 1; 1 for identical files.
        identical: whether the files are the same byte for byte.
    """

    first: str
    second: str
    similarity: float
    identical: bool

    @property
    def kind(self) -> str:
        """In words: identical or near-duplicate."""
        return "identical" if self.identical else "near-duplicate"


def take_print(name: str, path: str | Path) -> Print:
    """Read one file once: its digest, its size and its grey square.

    A file that is missing or damaged gets an empty print, which resembles nothing.
    """
    try:
        content = Path(path).read_bytes()
    except OSError:
        return Print(name, "", (0, 0), np.zeros((SIDE, SIDE), np.uint8))
    digest = hashlib.sha256(content).hexdigest()
    try:
        with PIL.open(io.BytesIO(content)) as picture:
            size = picture.size
            picture.draft("L", (2 * SIDE, 2 * SIDE))  # JPEG: decodes at a fraction of the size
            grey = picture.convert("L").resize((SIDE, SIDE), PIL.Resampling.BILINEAR, reducing_gap=3.0)
    except (OSError, SyntaxError, ValueError, PIL.DecompressionBombError):
        return Print(name, digest, (0, 0), np.zeros((SIDE, SIDE), np.uint8))
    return Print(name, digest, size, np.asarray(grey))


def take_prints(dataset: LesionTable, progress: Callable[[int], object] | None = None) -> list[Print]:
    """The prints of all samples, in order; `progress` is told how many are done."""
    prints = []
    for name, path in zip(dataset.table.index, dataset.table["path"], strict=True):
        prints.append(take_print(str(name), str(path)))
        if progress is not None:
            progress(len(prints))
    return prints


def find_duplicates(prints: Sequence[Print], threshold: float = THRESHOLD) -> list[Duplicate]:
    """All pairs of identical files and of near-duplicates, most similar first.

    Args:
        prints: of the samples, see `take_prints`.
        threshold: of the similarity; 0.95 asks for almost the same pixels, below 0.88 different lesions appear.

    Example:
        >>> pairs = find_duplicates(take_prints(dataset))  # doctest: +SKIP
    """
    if not prints:
        return []
    same = _identical(prints)
    pairs = _similar(np.stack([p.grey for p in prints]), threshold)
    near = [
        Duplicate(prints[i].id, prints[j].id, s, False) for i, j, s in pairs if prints[i].digest != prints[j].digest
    ]
    return same + sorted(near, key=lambda d: (-d.similarity, d.first, d.second))


def _identical(prints: Sequence[Print]) -> list[Duplicate]:
    groups: dict[str, list[str]] = {}
    for p in prints:
        if p.digest:
            groups.setdefault(p.digest, []).append(p.id)
    pairs = [(a, b) for ids in groups.values() for k, a in enumerate(ids) for b in ids[k + 1 :]]
    return [Duplicate(a, b, 1.0, True) for a, b in pairs]


def _similar(greys: np.ndarray, threshold: float) -> Iterator[tuple[int, int, float]]:
    """Pairs of rows i < j whose detail is similar, with their similarity."""
    first, second = _candidates(_coarse(greys))
    used, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    fine = np.concatenate([_fine(greys[part]) for part in _parts(used)]) if len(used) else np.empty(0)
    a, b = place[: len(first)], place[len(first) :]
    for part in _parts(np.arange(len(first))):
        for k, value in zip(part, _correlation(fine[a[part]], fine[b[part]]), strict=True):
            if value >= threshold:
                yield int(first[k]), int(second[k]), min(float(value), 1.0)


def _parts(indices: np.ndarray) -> list[np.ndarray]:
    return [indices[k : k + _BLOCK] for k in range(0, len(indices), _BLOCK)]


def _coarse(greys: np.ndarray) -> np.ndarray:
    """Low frequencies of each picture, the higher the heavier, as unit vectors."""
    from scipy.fft import dctn

    u, v = np.meshgrid(np.arange(_FREQUENCIES), np.arange(_FREQUENCIES), indexing="ij")
    radius = np.hypot(u, v).astype(np.float32)
    chosen = (radius >= 2) & (radius < _FREQUENCIES)
    vectors = []
    for part in _parts(np.arange(len(greys))):
        waves = dctn(greys[part].astype(np.float32), axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES]
        vectors.append((waves * radius)[:, chosen])
    return _unit(np.concatenate(vectors))


def _candidates(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index pairs i < j of vectors with a cosine above the coarse threshold, searched block by block."""
    first, second = [], []
    for start in range(0, len(vectors), _BLOCK):
        cosine = vectors[start : start + _BLOCK] @ vectors[start:].T
        i, j = np.nonzero(cosine > _COARSE)
        later = j > i
        first.append(i[later] + start)
        second.append(j[later] + start)
    return np.concatenate(first), np.concatenate(second)


def _fine(greys: np.ndarray) -> np.ndarray:
    """Detail of each picture inside the round field of view, mean 0 there and norm 1; half precision."""
    from scipy.ndimage import gaussian_filter

    pictures = greys.astype(np.float32)
    detail = pictures - gaussian_filter(pictures, (0, 2.5, 2.5))
    bound = 3 * detail.std((1, 2), keepdims=True)  # a ruler or a glint must not decide alone
    detail = np.clip(detail, -bound, bound) * _field()
    detail -= detail.mean((1, 2), keepdims=True) / _field().mean() * _field()
    return _unit(detail.reshape(len(greys), -1)).reshape(greys.shape).astype(np.float16)


@cache
def _field() -> np.ndarray:
    """1 in the round field of view, falling softly to 0 towards the corners."""
    line = (np.arange(SIDE) - (SIDE - 1) / 2) / (SIDE / 2)
    radius = np.hypot(*np.meshgrid(line, line, indexing="ij"))
    field: np.ndarray = (1 / (1 + np.exp((radius - 0.8) * 20))).astype(np.float32)
    return field


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation of pictures at the best shift of up to 3 of 64 pixels."""
    from scipy.fft import irfft2, rfft2

    spectrum = rfft2(first.astype(np.float32)) * np.conj(rfft2(second.astype(np.float32)))
    shifts = np.roll(irfft2(spectrum, s=(SIDE, SIDE)), (_SHIFT, _SHIFT), (1, 2))
    best: np.ndarray = shifts[:, : 2 * _SHIFT + 1, : 2 * _SHIFT + 1].max((1, 2))
    return best


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors; those of pictures without any detail stay 0, which resembles nothing."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = np.where(norm > 1e-3, vectors / np.maximum(norm, 1e-3), 0)
    return unit
