"""Smooth random fields that are the same at every resolution, and operations on them."""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.interpolate import BSpline

Field = NDArray[np.float32]
FIELD_OF_VIEW = 14.0  # side of the image in mm


@cache
def _spline_basis(side: int, cells: int) -> Field:
    """Weights of cubic B-splines on a lattice of `cells`, at the centres of `side` pixels, shape (side, cells + 3)."""
    position = (np.arange(side) + 0.5) / side * cells
    return np.asarray(BSpline.design_matrix(position, np.arange(-3.0, cells + 4), 3).toarray(), dtype=np.float32)


def smooth_noise(rng: np.random.Generator, side: int, cells: tuple[int, ...], channels: int = 1) -> Field:
    """Random fields of mean 0 and standard deviation near 1, shape (channels, side, side).

    Cubic splines through random lattices, one octave for each number of cells a side, each weaker than the one before.
    """
    total = np.zeros((channels, side, side), dtype=np.float32)
    strengths = 0.62 ** np.arange(len(cells))
    for strength, count in zip(strengths / np.linalg.norm(strengths), cells, strict=True):
        lattice = rng.standard_normal((channels, count + 3, count + 3), dtype=np.float32)
        basis = _spline_basis(side, count)
        total += np.float32(strength * 2.1) * (basis @ lattice @ basis.T)
    return total


def grid(side: int, left: float = 0.0, top: float = 0.0) -> tuple[Field, Field]:
    """Pixel centres in mm from a point beside the image's centre: x to the right, y down, each (side, side)."""
    line = (((np.arange(side) + 0.5) / side - 0.5) * FIELD_OF_VIEW).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return x - np.float32(left), y - np.float32(top)


def smoothstep(value: Field, low: float | Field = 0.0, high: float | Field = 1.0) -> Field:
    """0 up to `low`, 1 from `high` on, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def sample_textures(textures: Field, u: Field, v: Field, reach: float) -> Field:
    """Textures (c, h, w) that span [-reach, reach] mm, interpolated at the given coordinates."""
    where = torch.from_numpy(np.stack([u, v], axis=-1) / np.float32(reach))[None]
    read = F.grid_sample(torch.from_numpy(textures)[None], where, padding_mode="reflection", align_corners=False)
    return np.asarray(read[0])
