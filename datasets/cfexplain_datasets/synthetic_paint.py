"""Rendering of synthetic images from their factors: skin, lesion, hair, ruler, light and camera.

Lengths are in mm, opacities in [0, 1] with shape (side, side), optical densities have shape (3, side, side).
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from torch import Tensor

from cfexplain.types import Image
from cfexplain_datasets.synthetic_factors import Factors, Nuisance

Field = NDArray[np.float32]
FIELD_OF_VIEW = 14.0  # side of the image in mm
ANGLES = 2048  # samples of the outline
TURN = np.arange(ANGLES) / ANGLES  # the angle of each sample, in turns
REACH = 1.9  # the lesion's textures cover this many radii to each side of its centre

# Share of the skin's light that each pigment transmits, by channel; ratios measured on HAM10000 lesions.
TRANSMISSION = {
    "ground": (0.83, 0.59, 0.50),
    "light_brown": (0.94, 0.77, 0.60),
    "dark_brown": (0.50, 0.25, 0.23),
    "red": (0.92, 0.50, 0.52),
    "black": (0.19, 0.14, 0.15),
}
# Colours that lie over the pigment rather than filter the skin's light, and their largest opacity.
SCATTER = {
    "blue_grey": ((0.31, 0.33, 0.41), 0.75),
    "white": ((0.90, 0.80, 0.80), 0.72),
    "veil": ((0.55, 0.57, 0.68), 0.48),
}
# Share of the lesion that a colour covers if its factor is 1, and where it then gathers: 1 centre, -1 rim.
PATCHES = {
    "light_brown": (0.5, -1.0),
    "dark_brown": (0.65, 0.8),
    "red": (0.3, -0.3),
    "black": (0.18, 1.0),
    "blue_grey": (0.2, 0.7),
    "white": (0.13, 0.6),
    "veil": (0.3, 0.9),
}


@dataclass(frozen=True, eq=False)
class _Canvas:
    u: Field  # along the lesion's long axis from its centre, mm, shape (side, side)
    v: Field  # across it, mm
    angle: np.ndarray  # index into tables over the angle
    distance: Field  # from the centre, mm
    noise: Field  # random fields that move with the lesion, shape (10, side, side)


def paint(factors: Factors, nuisance: Nuisance, size: int = 64) -> tuple[Image, Float[Tensor, "1 s s"]]:
    """Render one lesion, the same at every size: RGB in [0, 1], and its mask of zeros and ones."""
    from skimage.measure import block_reduce

    finer = max(2, -(-128 // size))
    image = _skin(nuisance, size * finer)
    cover = _add_lesion(image, factors, nuisance)
    _add_hair(image, nuisance)
    if nuisance.ruler:
        _add_ruler(image, nuisance)
    image = block_reduce(_camera(image, nuisance), (1, finer, finer), np.mean) + _sensor_noise(nuisance, size)
    mask = block_reduce(cover[None], (1, finer, finer), np.mean) > 0.5
    return torch.from_numpy(image.clip(0, 1)), torch.from_numpy(mask.astype(np.float32))


def _add_lesion(image: Field, factors: Factors, nuisance: Nuisance) -> Field:
    """Draw the lesion on the skin, in place; returns 1 inside its outline, 0 outside, (side, side)."""
    canvas = _canvas(factors, nuisance, image.shape[-1])
    depth, softness = _depth(canvas, factors, nuisance)
    inside = _smoothstep(depth + 0.3 * softness * np.clip(canvas.noise[9], -2, 2), -softness, softness)
    streaks = _streak_opacity(canvas, depth, factors, nuisance)
    colours = _colour_opacities(canvas, inside, factors)
    brightness = float(np.clip(image.mean() / 0.75, 0.6, 1.1))
    image *= np.exp(-_pigment_density(canvas, inside, streaks, colours, factors, nuisance))
    solid = _smoothstep(inside, 0.4, 1.0)
    for name, (colour, strength) in SCATTER.items():
        light = np.array(colour, dtype=np.float32)[:, None, None] * brightness
        image += colours[name] * solid * np.float32(strength) * (light - image)
    return np.asarray((depth > 0) | (streaks > 0.5), dtype=np.float32)


def _canvas(factors: Factors, nuisance: Nuisance, side: int) -> _Canvas:
    x, y = _grid(side, nuisance.x, nuisance.y)
    cos, sin = np.float32(np.cos(nuisance.rotation)), np.float32(np.sin(nuisance.rotation))
    u, v = x * cos + y * sin, y * cos - x * sin
    angle = np.floor((np.arctan2(v, u) / (2 * np.pi) % 1) * ANGLES).astype(np.int64) % ANGLES
    rng = nuisance.rng(5)
    octaves = {(6, 13, 27, 55): 7, (10, 21, 43, 86): 2, (32, 64): 1}
    textures = np.concatenate([_smooth_noise(rng, 160, cells, channels) for cells, channels in octaves.items()])
    where = torch.from_numpy(np.stack([u, v], axis=-1) / np.float32(REACH * factors.diameter / 2))
    source = torch.from_numpy(textures)[None]
    noise = F.grid_sample(source, where[None], padding_mode="reflection", align_corners=False)[0]
    return _Canvas(u, v, angle, np.sqrt(u * u + v * v), np.asarray(noise))


def _depth(canvas: _Canvas, factors: Factors, nuisance: Nuisance) -> tuple[Field, Field]:
    """Depth inside the outline (negative outside) and half the width of its edge, both in mm."""
    rng, radius = nuisance.rng(6), factors.diameter / 2
    outline = radius * _outline_radius(rng, factors)[canvas.angle]
    ragged = radius * (0.05 + 0.045 * factors.border) * canvas.noise[7]
    return outline - canvas.distance + ragged, _edge_width(rng, factors)[canvas.angle]


def _outline_radius(rng: np.random.Generator, factors: Factors) -> Field:
    """Distance of the outline from the centre over the angle; the circle of equal area has radius 1."""
    theta, wide = TURN * 2 * np.pi, 1 - factors.elongation
    ellipse = 1 / np.sqrt(wide * np.cos(theta) ** 2 + np.sin(theta) ** 2 / wide)
    lobe_at = rng.choice([1, 3, 5, 7]) * np.pi / 4 + rng.uniform(-0.25, 0.25)
    dent_at = lobe_at + rng.choice([-1, 1]) * rng.uniform(1.4, 2.0)
    lobe, dent = (np.exp(k * (np.cos(theta - at) - 1)) for k, at in ((3.0, lobe_at), (5.0, dent_at)))
    lopsided = 0.5 * lobe - 0.42 * dent + 0.1 * np.cos(3 * theta - lobe_at)
    notches = sum(
        rng.normal() * (k / 7) ** -0.5 * np.cos(k * theta + rng.uniform(0, 2 * np.pi)) for k in range(5, 17, 2)
    )
    uneven = 1 + factors.asymmetry * lopsided + (0.006 + 0.045 * factors.border) * notches
    shape = np.clip(ellipse * uneven, 0.25, None)
    return np.asarray(shape / np.sqrt(np.mean(shape**2)), dtype=np.float32)


def _edge_width(rng: np.random.Generator, factors: Factors) -> Field:
    """Half the width of the edge over the angle in mm: of the rule's eight segments, 8 x border are abrupt."""
    order, start = rng.permutation(8), rng.uniform(0, 8)
    abrupt = np.clip(8 * factors.border - order, 0, 1)
    position = (TURN * 8 + start) % 8
    here, there = (abrupt[(position.astype(int) + k) % 8] for k in (0, 1))
    share = here + (there - here) * np.clip((position % 1 - 0.7) / 0.3, 0, 1)
    wide = rng.uniform(0.4, 1.0) * min(1.0, factors.diameter / 6)
    return np.asarray(wide + (0.2 - wide) * share, dtype=np.float32)


def _streak_opacity(canvas: _Canvas, depth: Field, factors: Factors, nuisance: Nuisance) -> Field:
    rng, count = nuisance.rng(7), 42
    at = (np.arange(count) + rng.uniform(-0.4, 0.4, count)) / count * 2 * np.pi
    order = (np.arange(count) + rng.integers(count)) % count + rng.uniform(-6, 6, count)
    shown = np.clip((1.05 * factors.streaks * count - np.clip(order, 0, None)) / 4, 0, 1)
    length = rng.uniform(0.15, 0.75, count) * min(1.0, factors.diameter / 6) * shown
    narrow = rng.uniform(800, 2500, count) * (factors.diameter / 7) ** 2
    theta = TURN.astype(np.float32)[:, None] * 2 * np.pi
    lines = np.exp((np.cos(theta - at.astype(np.float32)) - 1) * narrow.astype(np.float32)) * shown.astype(np.float32)
    line, reach = (table.max(axis=1)[canvas.angle] for table in (lines, lines * length.astype(np.float32)))
    outer = _smoothstep(depth + reach, 0.0, 0.65) * _smoothstep(line, 0.05, 0.9)
    strength = 0.7 * min(1.0, 0.3 + factors.streaks)
    return np.asarray(strength * outer * (1 - _smoothstep(depth, 0.2, 1.8)), dtype=np.float32)


def _colour_opacities(canvas: _Canvas, inside: Field, factors: Factors) -> dict[str, Field]:
    radius, spread = factors.diameter / 2, 0.25 + 0.75 * factors.colour_spread
    shift = 0.55 * radius * factors.asymmetry
    from_centre = np.sqrt((canvas.u - shift) ** 2 + (canvas.v + 0.6 * shift) ** 2) / radius
    solid = inside[::3, ::3] > 0.5
    layers = {}
    for index, (name, (cover, central)) in enumerate(PATCHES.items()):
        amount = getattr(factors, name)  # with it grows the share of the lesion that the colour covers
        where = spread * canvas.noise[index] + (1 - spread) * (central * (1.1 - 2.2 * from_centre))
        level = float(np.quantile(where[::3, ::3][solid], 1 - cover * amount)) if solid.any() else 0.0
        layers[name] = _smoothstep(where, level - 0.55, level + 0.55) * min(1.0, amount / 0.3)
    return layers


def _pigment_density(
    canvas: _Canvas, inside: Field, streaks: Field, colours: dict[str, Field], factors: Factors, nuisance: Nuisance
) -> Field:
    pigment = {name: -np.log(np.array(share, dtype=np.float32))[:, None, None] for name, share in TRANSMISSION.items()}
    density = np.broadcast_to(pigment["ground"], (3, *inside.shape)) * (0.5 + 0.9 * factors.pigmentation)
    for name in ("light_brown", "dark_brown", "red", "black"):
        density = density + colours[name] * 0.9 * (pigment[name] - density)
    core = _smoothstep(canvas.distance / (factors.diameter / 2), 1.3, 0.0) - 0.4
    uneven = np.clip(1 + 0.24 * canvas.noise[8] + 0.17 * canvas.noise[9] + 0.35 * core, 0.25, 2)
    density = density * uneven * (1 + _network_contrast(canvas, factors, nuisance))
    density = np.maximum(density * inside, streaks * 0.9 * pigment["dark_brown"])
    dots = _dot_opacity(canvas, factors, nuisance) * inside
    return np.asarray(np.clip(density, 0, None) + dots * pigment["dark_brown"], dtype=np.float32)


def _network_contrast(canvas: _Canvas, factors: Factors, nuisance: Nuisance) -> Field:
    # A warped honeycomb of dark lines around pale holes, relative to the pigment.
    pitch = float(nuisance.rng(8).uniform(0.48, 0.62))
    u = canvas.u + (0.16 * canvas.noise[6] + 0.06 * canvas.noise[7])
    v = canvas.v + (0.16 * canvas.noise[5] + 0.06 * canvas.noise[8])
    angles = (0.0, math.pi / 3, 2 * math.pi / 3)
    waves = sum(np.cos(2 * math.pi / pitch * (u * math.cos(a) + v * math.sin(a))) for a in angles)
    lines = 1 - _smoothstep(np.asarray(waves, dtype=np.float32) + 0.25 * canvas.noise[9], -1.5, 0.7)
    patchy = _smoothstep(canvas.noise[9] + 0.5 * canvas.noise[4], -1.3, 0.9)
    return np.asarray((lines - 0.3) * 0.8 * patchy * factors.network, dtype=np.float32)


def _dot_opacity(canvas: _Canvas, factors: Factors, nuisance: Nuisance) -> Field:
    rng, count = nuisance.rng(9), 40
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = np.sqrt(rng.uniform(0.02, 0.85, count)) * (factors.diameter / 2)
    sizes, strengths = rng.uniform(0.08, 0.26, count), rng.uniform(0.45, 1.0, count)
    # A larger factor shows more of the same dots.
    opacity = np.clip(factors.dots * count - np.arange(count), 0, 1) * strengths
    u, v = canvas.u + np.float32(0.07) * canvas.noise[8], canvas.v + np.float32(0.07) * canvas.noise[7]
    total = np.zeros_like(u)
    for i in np.flatnonzero(opacity):
        du, dv = u - float(radius[i] * np.cos(angle[i])), v - float(radius[i] * np.sin(angle[i]))
        spot = _smoothstep(float(sizes[i]) - np.sqrt(du * du + dv * dv), -0.16, 0.12)
        total = np.maximum(total, spot * np.float32(opacity[i]))
    return np.asarray(total)


def _skin(nuisance: Nuisance, side: int) -> Field:
    rng = nuisance.rng(1)
    blotches, mottle, grain = (_smooth_noise(rng, side, cells)[0] for cells in ((3, 6), (9, 18, 36), (64, 110)))
    tan = _smoothstep(_smooth_noise(rng, side, (7, 14))[0], 1.5, 3.4) * rng.uniform(0, 0.8)
    light = 1 + 0.014 * blotches + 0.02 * mottle + 0.018 * grain
    red = 0.02 * blotches * (0.5 + nuisance.redness) + 0.018 * mottle + 0.008 * grain
    melanin = np.array([0.1, 0.26, 0.32], dtype=np.float32)[:, None, None] * tan
    flush = np.array([0.1, -1, -0.85], dtype=np.float32)[:, None, None] * red
    return np.asarray(_skin_colour(nuisance)[:, None, None] * light * np.exp(flush - melanin), dtype=np.float32)


def _skin_colour(nuisance: Nuisance) -> Field:
    """Colour of the skin in sRGB from CIELAB: L* = 50 + 17 tan(ITA), a* and b* with the redness."""
    yellow = 8.0 - 4.0 * nuisance.redness
    lightness = min(50 + 17.0 * np.tan(np.radians(nuisance.skin_tone)), 88) - 6 * nuisance.redness
    f = (lightness + 16) / 116
    xyz = np.array([f + (5 + 24 * nuisance.redness) / 500, f, f - yellow / 200]) ** 3 * (0.9505, 1, 1.089)
    from_xyz = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.204, 1.057]])
    return (1.055 * np.clip(from_xyz @ xyz, 1e-3, 1) ** (1 / 2.4) - 0.055).clip(0.05, 1).astype(np.float32)


def _add_hair(image: Field, nuisance: Nuisance) -> None:
    rng = nuisance.rng(2)
    x, y = _grid(image.shape[-1])
    main, dark = rng.uniform(0, np.pi), rng.uniform(0.5, 1)
    colour = np.array([[[0.42]], [[0.3]], [[0.22]]], dtype=np.float32) * (1.25 - dark)
    for _ in range(nuisance.hair):
        angle, bend = float(main + rng.normal(0, 0.5)), float(rng.normal(0, 0.035))
        left, top = rng.uniform(-6, 6, 2).tolist()
        half, width = float(rng.uniform(2.5, 9)), float(rng.uniform(0.035, 0.09))
        along = (x - left) * math.cos(angle) + (y - top) * math.sin(angle)
        off = (y - top) * math.cos(angle) - (x - left) * math.sin(angle) - bend * along**2
        distance = np.abs(off) / np.sqrt(1 + (2 * bend * along) ** 2)
        taper = width * np.sqrt(np.clip(1 - (along / half) ** 2, 0, 1))
        opacity = _smoothstep(taper - distance, -0.04, 0.05) * (taper > 0) * float(rng.uniform(0.6, 0.95))
        image += opacity * (colour - image)


def _add_ruler(image: Field, nuisance: Nuisance) -> None:
    rng = nuisance.rng(3)
    x, y = _grid(image.shape[-1])
    along, across = [(x, y), (x, -y), (y, x), (y, -x)][rng.integers(4)]
    depth = across - rng.uniform(5.3, 6.0)
    length = 0.5 + 0.5 * (np.round(along) % 5 == 0).astype(np.float32)
    inside = _smoothstep(rng.uniform(4.5, 8) - np.abs(along), 0.0, 0.1)
    line = _smoothstep(0.07 - np.abs(depth), -0.04, 0.05)
    ticks = _smoothstep(0.07 - np.abs((along + 50.5) % 1 - 0.5), -0.04, 0.05)
    ticks = ticks * (depth < 0) * _smoothstep(depth + length, 0.0, 0.08)
    image += np.maximum(line, ticks) * inside * 0.85 * (np.float32(0.08) - image)


def _camera(image: Field, nuisance: Nuisance) -> Field:
    x, y = _grid(image.shape[-1])
    half = FIELD_OF_VIEW / 2
    slope = (x * math.cos(nuisance.gradient_angle) + y * math.sin(nuisance.gradient_angle)) / half
    radius = np.sqrt(x * x + y * y) / half
    light = nuisance.exposure * (1 + 0.5 * nuisance.gradient * slope - 0.6 * nuisance.gradient * radius**2 / 2)
    if nuisance.vignette > 0:
        edge, softness = 1.5 - 0.4 * nuisance.vignette, 0.12 + 0.2 * (1 - nuisance.vignette)
        light = light * (1 - 0.95 * _smoothstep(np.asarray(radius), edge - softness, edge + 0.03))
    red, green = 1 + 0.09 * nuisance.warmth, 1 - 0.06 * nuisance.tint
    blue = 1 - 0.1 * nuisance.warmth + 0.05 * nuisance.tint
    return np.asarray(image * light * np.array([red, green, blue])[:, None, None], dtype=np.float32)


def _sensor_noise(nuisance: Nuisance, size: int) -> Field:
    rng = nuisance.rng(4)
    common, separate = rng.standard_normal((1, size, size)), rng.standard_normal((3, size, size))
    return np.asarray(nuisance.noise * (0.8 * common + 0.6 * separate), dtype=np.float32)


@cache
def _spline_basis(side: int, cells: int) -> Field:
    """Weights of cubic B-splines on a lattice of `cells`, at the centres of `side` pixels, shape (side, cells + 3)."""
    position = (np.arange(side) + 0.5) / side * cells
    return np.asarray(BSpline.design_matrix(position, np.arange(-3.0, cells + 4), 3).toarray(), dtype=np.float32)


def _smooth_noise(rng: np.random.Generator, side: int, cells: tuple[int, ...], channels: int = 1) -> Field:
    """Random fields of mean 0 and standard deviation near 1, the same at every resolution, (channels, side, side)."""
    # Cubic splines on random lattices, one octave for each number of cells a side, each weaker than the one before.
    total = np.zeros((channels, side, side), dtype=np.float32)
    strengths = 0.62 ** np.arange(len(cells))
    for strength, count in zip(strengths / np.linalg.norm(strengths), cells, strict=True):
        lattice = rng.standard_normal((channels, count + 3, count + 3), dtype=np.float32)
        basis = _spline_basis(side, count)
        total += np.float32(strength * 2.1) * (basis @ lattice @ basis.T)
    return total


def _grid(side: int, left: float = 0.0, top: float = 0.0) -> tuple[Field, Field]:
    """Pixel centres in mm from a point beside the image's centre: x to the right, y down, each (side, side)."""
    line = (((np.arange(side) + 0.5) / side - 0.5) * FIELD_OF_VIEW).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return x - np.float32(left), y - np.float32(top)


def _smoothstep(value: Field, low: float | Field = 0.0, high: float | Field = 1.0) -> Field:
    """0 up to `low`, 1 from `high` on, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)
