"""Marks of a ruler or of the dermatoscope's scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfexplain.dermoscopy.artefacts.line import dark_hat, long_dark
from cfexplain.dermoscopy.artefacts.scene import Mask, Scene
from cfexplain.dermoscopy.segment import Array
from cfexplain.types import Image

FEW = 8
"""With more tick-like parts in a picture than this, a single one in a corner is stubble."""


def ruler(picture: Image) -> Mask:
    """Marks of a ruler or of the dermatoscope's scale: 1 on the marks, shape (1, h, w).

    Found are the ticks of a dermatoscope's scale, which lie near the rim and point to the centre, three or more at
    equal distances (fewer in a corner of a picture without stubble); fine scales along the picture's sides and long
    bars, by the period of their ticks: of the variation along a band, the strongest period holds nearly all.

    Limits: a bar whose ticks are finer than three pixels at `LONGEST`, or without ticks, is called hair.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`.

    Example:
        >>> skin = torch.full((3, 120, 160), 0.8)
        >>> skin[:, 4:12, 8:150:5] = 0.2
        >>> found = ruler(skin)
        >>> float(found[0, 8, 78]), float(found[0, 60, 80])
        (1.0, 0.0)

    Source: ours; measured by experiments/artefacts.py.
    """
    scene = Scene(picture)
    return scene.mask(scene.once(marks))


def marks(scene: Scene) -> Array:
    """True on ruler marks."""
    return _tick_rows(scene) | _combs(scene) | _bars(scene)


def _tick_rows(scene: Scene) -> Array:
    """Parallel ticks near the rim that point to the centre, as a dermatoscope's scale has them.

    Three or more of them, each as far from the next, or any in a corner of a picture that has hardly anything alike.
    """
    ticks, parts = _ticks(scene)
    hairs = set(parts[scene.once(long_dark)].tolist())  # the darkest stretch of a hair is no tick
    radial = [tick for tick in ticks if tick.number not in hairs and _is_radial(tick, scene)]
    rows = [_row_from(first, second, radial, scene) for first in radial for second in radial]
    found = {tick.number for row in rows if len(row) >= 3 for tick in row}
    if len(ticks) <= FEW:
        found |= {tick.number for tick in radial if _in_corner(tick, scene) and tick.length > scene.pixels(0.03)}
    return np.isin(parts, list(found)) if found else np.zeros(parts.shape, bool)


@dataclass(frozen=True)
class Tick:
    """A short straight dark part: its number among the parts, centre (x, y), direction and length in pixels."""

    number: int
    centre: Array
    direction: Array
    length: float


def _ticks(scene: Scene) -> tuple[list[Tick], Array]:
    import cv2

    dark = (scene.once(dark_hat) > 30).astype(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    longest = scene.pixels(0.1)
    size = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    area = stats[:, cv2.CC_STAT_AREA]
    ticks = []
    short = (size < longest) & (size >= scene.pixels(0.015)) & (area >= 3)
    for number in np.flatnonzero(short[1:]) + 1:
        x, y, width, height = stats[number, :4]
        points = np.argwhere(parts[y : y + height, x : x + width] == number)[:, ::-1] + (x, y)
        spread, axes = np.linalg.eigh(np.cov(points.T, bias=True) + np.eye(2) / 12)
        if spread[1] > 4 * spread[0]:
            ticks.append(Tick(int(number), points.mean(0), axes[:, 1], float(np.sqrt(12 * spread[1]))))
    return ticks, parts


def _row_from(first: Tick, second: Tick, ticks: list[Tick], scene: Scene) -> list[Tick]:
    """The row of ticks that begins with two of them; empty where the two do not begin one."""
    step = second.centre - first.centre
    distance, side = float(np.hypot(*step)), max(scene.rgb.shape)
    if not 0.02 * side < distance < 0.12 * side or not _beside(first, second, step):
        return []
    row = [first, second]
    while True:
        step = row[-1].centre - row[-2].centre
        near = [t for t in ticks if t not in row and np.hypot(*(t.centre - row[-1].centre - step)) < 0.3 * distance]
        near = [t for t in near if _beside(row[-1], t, t.centre - row[-1].centre)]
        if not near:
            return row
        row.append(min(near, key=lambda t: float(np.hypot(*(t.centre - row[-1].centre - step)))))


def _beside(first: Tick, second: Tick, step: Array) -> bool:
    """Whether two ticks are parallel and lie side by side rather than end to end."""
    parallel = abs(float(first.direction @ second.direction)) > 0.96
    return parallel and abs(float(first.direction @ step)) < 0.45 * float(np.hypot(*step))


def _is_radial(tick: Tick, scene: Scene) -> bool:
    """Whether a tick lies near the rim and points within 30 degrees of the centre."""
    height, width = scene.rgb.shape[:2]
    inward = np.array([width, height]) / 2 - tick.centre
    x, y = np.abs(inward) / (width / 2, height / 2)
    return bool(max(x, y) > 0.6) and abs(float(tick.direction @ inward)) > 0.86 * float(np.hypot(*inward))


def _in_corner(tick: Tick, scene: Scene) -> bool:
    height, width = scene.rgb.shape[:2]
    return bool(np.hypot(*(2 * tick.centre / (width, height) - 1)) > 1.05)


def _bars(scene: Scene) -> Array:
    """Straight long lines with a comb of ticks at one side."""
    import cv2

    found = np.zeros(scene.rgb.shape[:2], bool)
    lines = scene.once(long_dark).astype(np.uint8)
    for outline in cv2.findContours(lines, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        (x, y), size, turn = cv2.minAreaRect(outline)
        long, narrow = max(size), min(size)
        if long < scene.pixels(0.2) or narrow > scene.pixels(0.05):
            continue
        depth = scene.pixels(0.05)
        strip = _strip(scene.once(dark_hat), (x, y), turn if size[0] >= size[1] else turn + 90, round(long), depth)
        thick = max(3, depth // 2)
        bands = [strip[top : top + thick] for top in range(0, 2 * depth - thick + 1, max(1, thick // 2))]
        if any(_is_comb(band, scene) for band in bands):
            wide = (long + 2, 2.0 * depth) if size[0] >= size[1] else (2.0 * depth, long + 2)
            corners = cv2.boxPoints(((x, y), wide, turn)).astype(np.int32)
            bar = cv2.fillConvexPoly(np.zeros(found.shape, np.uint8), corners, 1).astype(bool)
            found |= bar & (scene.once(dark_hat) > 8)
    return found


def _strip(hat: Array, centre: tuple[float, float], turn: float, length: int, depth: int) -> Array:
    """What lies within `depth` of a line through a point (x, y), turned upright, shape (2 * depth, length)."""
    import cv2

    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    corner = np.array(centre) - length / 2 * np.array([cos, sin]) + depth * np.array([sin, -cos])
    place = np.array([[cos, -sin, corner[0]], [sin, cos, corner[1]]])
    return np.asarray(cv2.warpAffine(hat, place, (length, 2 * depth), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))


def _combs(scene: Scene) -> Array:
    """Fine scales along the picture's sides: bands where dark lines come at one period."""
    found = np.zeros(scene.rgb.shape[:2], bool)
    for turns in range(4):
        hat = np.rot90(scene.once(dark_hat), turns)
        where = _combs_at_top(hat, scene)
        found |= np.rot90(where, -turns)
    return found


def _combs_at_top(hat: Array, scene: Scene) -> Array:
    where, tops = np.zeros(hat.shape, bool), []
    depth, window = scene.pixels(0.03, 3), min(scene.pixels(0.5), hat.shape[1])
    for top in range(0, scene.pixels(0.25), max(1, depth // 2)):
        for left in range(0, hat.shape[1] - window + 1, max(1, window // 4)):
            band = hat[top : top + depth, left : left + window]
            if _is_comb(band, scene):
                rows = slice(max(0, top - depth), top + 2 * depth)
                part = hat[rows, left : left + window]
                where[rows, left : left + window] |= part > max(6.0, 0.3 * float(band.max()))
                tops.append(top)
    # A scale is a narrow band; what goes on and on are the ridges of the skin of palms and soles.
    return where if tops and max(tops) - min(tops) < scene.pixels(0.12) else np.zeros(hat.shape, bool)


def _is_comb(band: Array, scene: Scene) -> bool:
    """Whether dark lines cross a band, shape (h, w), at one period; wide ones must be plainer than fine ones."""
    profile, n = band.mean(0), band.shape[1]
    power = np.abs(np.fft.rfft((profile - profile.mean()) * np.hanning(n))) ** 2
    power[:3] = 0
    peak = int(power.argmax())
    period = n / max(peak, 1)
    fine = period < scene.pixels(0.03)
    if profile.std() < 2 or peak < (9 if fine else 6) or period < 2.5:
        return False
    share = sum(power[k * peak - 1 : k * peak + 2].sum() for k in (1, 2, 3)) / power.sum()
    together = profile.var() / band.var(1).mean()
    return bool(share > 0.62 and share * together > (0.36 if fine else 0.7))
