"""Everything in a synthetic image but the lesion: skin, hair, ruler, light and camera."""

import math

import numpy as np

from cfexplain_datasets.synthetic_factors import Nuisance
from cfexplain_datasets.synthetic_fields import FIELD_OF_VIEW, Field, grid, smooth_noise, smoothstep


def skin(nuisance: Nuisance, side: int) -> Field:
    """Bare skin under white light, shape (3, side, side)."""
    rng = nuisance.rng(1)
    blotches, mottle, grain = (smooth_noise(rng, side, cells)[0] for cells in ((3, 6), (9, 18, 36), (64, 110)))
    tan = smoothstep(smooth_noise(rng, side, (7, 14))[0], 1.5, 3.4) * rng.uniform(0, 0.8)
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


def add_hair(image: Field, nuisance: Nuisance) -> None:
    """Draw the hairs over the image, in place."""
    rng = nuisance.rng(2)
    x, y = grid(image.shape[-1])
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
        opacity = smoothstep(taper - distance, -0.04, 0.05) * (taper > 0) * float(rng.uniform(0.6, 0.95))
        image += opacity * (colour - image)


def add_ruler(image: Field, nuisance: Nuisance) -> None:
    """Draw a millimetre scale along one side, in place."""
    rng = nuisance.rng(3)
    x, y = grid(image.shape[-1])
    along, across = [(x, y), (x, -y), (y, x), (y, -x)][rng.integers(4)]
    depth = across - rng.uniform(5.3, 6.0)
    length = 0.5 + 0.5 * (np.round(along) % 5 == 0).astype(np.float32)
    inside = smoothstep(rng.uniform(4.5, 8) - np.abs(along), 0.0, 0.1)
    line = smoothstep(0.07 - np.abs(depth), -0.04, 0.05)
    ticks = smoothstep(0.07 - np.abs((along + 50.5) % 1 - 0.5), -0.04, 0.05)
    ticks = ticks * (depth < 0) * smoothstep(depth + length, 0.0, 0.08)
    image += np.maximum(line, ticks) * inside * 0.85 * (np.float32(0.08) - image)


def camera(image: Field, nuisance: Nuisance) -> Field:
    """Light, white balance and dark corners on an image under white light, shape (3, side, side)."""
    x, y = grid(image.shape[-1])
    half = FIELD_OF_VIEW / 2
    slope = (x * math.cos(nuisance.gradient_angle) + y * math.sin(nuisance.gradient_angle)) / half
    radius = np.sqrt(x * x + y * y) / half
    light = nuisance.exposure * (1 + 0.5 * nuisance.gradient * slope - 0.6 * nuisance.gradient * radius**2 / 2)
    if nuisance.vignette > 0:
        edge, softness = 1.5 - 0.4 * nuisance.vignette, 0.12 + 0.2 * (1 - nuisance.vignette)
        light = light * (1 - 0.95 * smoothstep(np.asarray(radius), edge - softness, edge + 0.03))
    red, green = 1 + 0.09 * nuisance.warmth, 1 - 0.06 * nuisance.tint
    blue = 1 - 0.1 * nuisance.warmth + 0.05 * nuisance.tint
    return np.asarray(image * light * np.array([red, green, blue])[:, None, None], dtype=np.float32)


def sensor_noise(nuisance: Nuisance, size: int) -> Field:
    """Noise of the final pixels, partly common to the channels, shape (3, size, size)."""
    rng = nuisance.rng(4)
    common, separate = rng.standard_normal((1, size, size)), rng.standard_normal((3, size, size))
    return np.asarray(nuisance.noise * (0.8 * common + 0.6 * separate), dtype=np.float32)
