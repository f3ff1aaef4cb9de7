"""Marks of a ruler or of the dermatoscope's scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cfexplain.dermoscopy.artefacts.line import dark_hat, long_dark
from cfexplain.dermoscopy.artefacts.scene import Scene, once
from cfexplain.dermoscopy.segment import Array


@once
def ruler(scene: Scene) -> Array:
    """True on marks of a ruler or of the dermatoscope's scale.

    Three kinds: ticks of a dermatoscope's scale, which lie near the edge of the image and point to the centre, three
    or more at equal distances (fewer in a corner of an image without stubble); fine scales along the sides of the
    image; and long bars with ticks. Scales and bars are recognised by their period: one period holds nearly all of
    the variation along a band.

    Limits: a bar without ticks, or with ticks finer than three pixels at `LONGEST`, counts as hair.

    Source: ours; measured by experiments/artefacts.py.
    """
    hat = dark_hat(scene)
    scales = [np.rot90(_scale_at_top(np.rot90(hat, turns), scene), -turns) for turns in range(4)]
    return np.asarray(_tick_rows(scene) | _bars(scene) | np.any(scales, axis=0))


@dataclass(frozen=True, eq=False)
class Tick:
    """A short straight dark component: its number, centre (x, y), unit direction and length in pixels."""

    number: int
    centre: Array
    direction: Array
    length: float


def _tick_rows(scene: Scene) -> Array:
    """Ticks near the edge that point to the centre: three at equal distances, or any in a corner of a plain image."""
    ticks, parts = _ticks(scene)
    hairs = set(parts[long_dark(scene)].tolist())  # the darkest stretch of a hair is not a tick
    radial = [tick for tick in ticks if tick.number not in hairs and _is_radial(tick, scene)]
    rows = [_row_from(first, second, radial, scene) for first in radial for second in radial]
    found = {tick.number for row in rows if len(row) >= 3 for tick in row}
    if len(ticks) <= 8:  # with more of them, a single one in a corner is stubble
        half = np.array(scene.rgb.shape[1::-1]) / 2
        cornered = [tick for tick in radial if np.hypot(*(tick.centre / half - 1)) > 1.05]
        found |= {tick.number for tick in cornered if tick.length > scene.pixels(0.03)}
    return np.isin(parts, list(found))


def _ticks(scene: Scene) -> tuple[list[Tick], Array]:
    """All ticks, and the connected components that their numbers refer to."""
    dark = (dark_hat(scene) > 30).astype(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    size = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    short = (size < scene.pixels(0.1)) & (size >= scene.pixels(0.015)) & (stats[:, cv2.CC_STAT_AREA] >= 3)
    ticks = []
    for number in np.flatnonzero(short[1:]) + 1:
        x, y, width, height = stats[number, :4]
        points = np.argwhere(parts[y : y + height, x : x + width] == number)[:, ::-1] + (x, y)
        spread, axes = np.linalg.eigh(np.cov(points.T, bias=True) + np.eye(2) / 12)
        if spread[1] > 4 * spread[0]:
            ticks.append(Tick(int(number), points.mean(0), axes[:, 1], float(np.sqrt(12 * spread[1]))))
    return ticks, parts


def _row_from(first: Tick, second: Tick, ticks: Sequence[Tick], scene: Scene) -> list[Tick]:
    """The row of ticks that begins with two of them; empty where the two do not begin one."""
    step = second.centre - first.centre
    distance, side = float(np.hypot(*step)), max(scene.rgb.shape)
    if not 0.02 * side < distance < 0.12 * side or not _beside(first, second):
        return []
    row = [first, second]
    while True:
        last, step = row[-1], row[-1].centre - row[-2].centre
        miss = {tick: float(np.hypot(*(tick.centre - last.centre - step))) for tick in ticks if tick not in row}
        near = [tick for tick in miss if miss[tick] < 0.3 * distance and _beside(last, tick)]
        if not near:
            return row
        row.append(min(near, key=miss.__getitem__))


def _beside(first: Tick, second: Tick) -> bool:
    """Whether two ticks are parallel and lie side by side rather than end to end."""
    step = second.centre - first.centre
    parallel = abs(float(first.direction @ second.direction)) > 0.96
    return parallel and abs(float(first.direction @ step)) < 0.45 * float(np.hypot(*step))


def _is_radial(tick: Tick, scene: Scene) -> bool:
    """Whether a tick lies near the edge and points within 30 degrees of the centre."""
    half = np.array(scene.rgb.shape[1::-1]) / 2
    inward = half - tick.centre
    near_edge = bool((np.abs(inward) / half).max() > 0.6)
    return near_edge and abs(float(tick.direction @ inward)) > 0.86 * float(np.hypot(*inward))


def _bars(scene: Scene) -> Array:
    """Straight long lines with ticks at one side."""
    found = np.zeros(scene.rgb.shape[:2], np.uint8)
    hat, depth = dark_hat(scene), scene.pixels(0.05)
    thickness = max(3, depth // 2)
    for outline in cv2.findContours(long_dark(scene).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        centre, size, angle = cv2.minAreaRect(outline)
        if max(size) < scene.pixels(0.2) or min(size) > depth:
            continue
        strip = _strip(hat, centre, angle if size[0] >= size[1] else angle + 90, round(max(size)), depth)
        tops = range(0, 2 * depth - thickness + 1, max(1, thickness // 2))
        if any(_is_periodic(strip[top : top + thickness], scene) for top in tops):
            wide = (max(size) + 2, 2.0 * depth) if size[0] >= size[1] else (2.0 * depth, max(size) + 2)
            cv2.fillConvexPoly(found, cv2.boxPoints((centre, wide, angle)).astype(np.int32), 1)
    return np.asarray(found.astype(bool) & (hat > 8))


def _strip(hat: Array, centre: Sequence[float], angle: float, length: int, depth: int) -> Array:
    """What lies within `depth` of a line through a point (x, y), rotated upright, shape (2 * depth, length)."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    corner = np.array(centre) - length / 2 * np.array([cos, sin]) + depth * np.array([sin, -cos])
    place = np.array([[cos, -sin, corner[0]], [sin, cos, corner[1]]])
    return np.asarray(cv2.warpAffine(hat, place, (length, 2 * depth), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))


def _scale_at_top(hat: Array, scene: Scene) -> Array:
    """A fine scale along the top of the image: bands of dark lines with one period."""
    found, tops = np.zeros(hat.shape, bool), []
    depth, window = scene.pixels(0.03, 3), min(scene.pixels(0.5), hat.shape[1])
    for top in range(0, scene.pixels(0.25), max(1, depth // 2)):
        for left in range(0, hat.shape[1] - window + 1, max(1, window // 4)):
            columns = slice(left, left + window)
            band = hat[top : top + depth, columns]
            if _is_periodic(band, scene):
                rows = slice(max(0, top - depth), top + 2 * depth)
                found[rows, columns] |= hat[rows, columns] > max(6.0, 0.3 * float(band.max()))
                tops.append(top)
    # A scale is a narrow band; wide periodic areas are the ridges of the skin of palms and soles.
    return found if tops and max(tops) - min(tops) < scene.pixels(0.12) else np.zeros(hat.shape, bool)


def _is_periodic(band: Array, scene: Scene) -> bool:
    """Whether dark lines cross a band, shape (h, w), with one period; the criterion is stricter for wide periods."""
    profile, n = band.mean(0), band.shape[1]
    power = np.abs(np.fft.rfft((profile - profile.mean()) * np.hanning(n))) ** 2
    power[:3] = 0
    peak = int(power.argmax())
    period = n / max(peak, 1)
    fine = period < scene.pixels(0.03)
    if profile.std() < 2 or peak < (9 if fine else 6) or period < 2.5:
        return False
    share = sum(power[k * peak - 1 : k * peak + 2].sum() for k in (1, 2, 3)) / power.sum()
    return bool(share > 0.62 and share * (profile.var() / band.var(1).mean()) > (0.36 if fine else 0.7))
