"""What lies on a dermoscopic picture and is not skin: hair, ruler marks, ink, dark corners, gel bubbles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.images import check_images, to_uint8
from cfexplain.segment import Array
from cfexplain.types import Image

Mask = Float[Tensor, "1 h w"]

LONGEST = 300
"""Pictures are reduced to this longer side for finding, never enlarged; all lengths below are shares of it."""

ANGLES = 12
"""Directions in which a line is looked for, 15 degrees apart: between two of them a line loses little."""

WIDEST_HAIR = 0.034
"""Lines wider than this share of the longer side are no hair: a closing by a disc of this size fills a hair."""


@dataclass(frozen=True)
class _Line:
    """What counts as a hair: contrast, 0 to 255, over a straight stretch, and length; shares of the longer side."""

    contrast: float
    straight: float
    length: float


SHORT_HAIR, LONG_HAIR = _Line(34, 0.04, 0.04), _Line(15, 0.09, 0.12)
"""Of dark hair: a short one must be darker than a long one."""

LIGHT_HAIR = _Line(18, 0.09, 0.15)
"""Light hair must be long: short white lines are scales, reflections and structures of the lesion."""

FEW = 8
"""With more tick-like parts in a picture than this, a single one in a corner is stubble."""

SEVERAL = 3
"""Reflections come in groups, of the dermatoscope's lamps or of many bubbles; fewer spots are scales or bare skin."""


class _Scene:
    """One picture, made small, and what several finders read from it; arrays of shape (h, w)."""

    def __init__(self, picture: Image) -> None:
        import cv2

        check_images(picture[None])
        self.size = tuple(picture.shape[-2:])
        rgb = to_uint8(picture)
        share = LONGEST / max(self.size)
        if share < 1:
            smaller = (max(1, round(self.size[1] * share)), max(1, round(self.size[0] * share)))
            rgb = cv2.resize(rgb, smaller, interpolation=cv2.INTER_AREA)
        self.rgb: Array = np.ascontiguousarray(rgb)

    def pixels(self, share: float, least: int = 1) -> int:
        """A share of the longer side in whole pixels."""
        return max(least, round(share * int(max(self.rgb.shape[:2]))))

    def odd(self, share: float) -> int:
        """The same, odd and at least three: the side of a kernel."""
        return 2 * self.pixels(share / 2) + 1

    @cached_property
    def bright(self) -> Array:
        """The brightest channel, 0 to 255: hair is dark in it, vessels, which swallow no red light, are not."""
        return np.asarray(self.rgb.max(2))

    @cached_property
    def white(self) -> Array:
        """The darkest channel, 0 to 255: only what is white is bright in it."""
        return np.asarray(self.rgb.min(2))

    @cached_property
    def lab(self) -> Array:
        """CIELAB, shape (h, w, 3)."""
        import cv2

        return np.asarray(cv2.cvtColor(self.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))

    @cached_property
    def radius(self) -> Array:
        """Distance from the centre, 1 at the middle of each side."""
        y, x = (np.linspace(-1, 1, n) for n in self.rgb.shape[:2])
        return np.hypot(y[:, None], x[None])

    @cached_property
    def corners(self) -> Array:
        """True on the dark surround of a round field of view."""
        return _dark_corner(self)

    @cached_property
    def dark_hat(self) -> Array:
        """How much darker than its surroundings, where narrow; 0 to 255, float32."""
        import cv2

        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (self.odd(WIDEST_HAIR),) * 2)
        hat = cv2.morphologyEx(self.bright, cv2.MORPH_BLACKHAT, disc).astype(np.float32)
        return np.where(self.near_corners, np.float32(0), hat)

    @cached_property
    def light_hat(self) -> Array:
        """How much whiter than its surroundings, where narrow; 0 to 255, float32."""
        import cv2

        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (self.odd(WIDEST_HAIR),) * 2)
        hat = cv2.morphologyEx(self.white, cv2.MORPH_TOPHAT, disc).astype(np.float32)
        return np.where(self.near_corners, np.float32(0), hat)

    @cached_property
    def near_corners(self) -> Array:
        """The dark corners and a narrow rim of them, where the picture's steps are no lines."""
        return _dilated(self.corners, self.pixels(0.012))

    @cached_property
    def long_dark(self) -> Array:
        """True on long dark lines: hairs, and bars of rulers."""
        return _lines_like(LONG_HAIR, self, self.dark_hat)

    @cached_property
    def lines(self) -> Array:
        """True on thin lines of any kind."""
        light = _lines_like(LIGHT_HAIR, self, self.light_hat)
        return self.long_dark | _lines_like(SHORT_HAIR, self, self.dark_hat) | light

    @cached_property
    def rings(self) -> Array:
        """True on the rims of bubbles."""
        return _round_lines(self)

    @cached_property
    def marks(self) -> Array:
        """True on ruler marks."""
        return _ruler(self)

    @cached_property
    def inked(self) -> Array:
        """True on ink."""
        return _ink(self)

    def mask(self, found: Array) -> Mask:
        """Zeros and ones at the picture's own size."""
        import cv2

        height, width = self.size
        grown = cv2.resize(found.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy((grown > 0.5).astype(np.float32))[None]


def hair(picture: Image) -> Mask:
    """Hairs, dark or light: 1 on them, 0 elsewhere, shape (1, h, w).

    A black-hat of the brightest channel (a top-hat of the darkest, for light hair) keeps what is narrower than
    `WIDEST_HAIR`; its mean along the best of `ANGLES` directions, less its mean over all of them, keeps what is long
    and straight, which the meshes of a pigment network are not. A part must stand out from the grain of its
    surroundings; of the connected parts, long and thin ones remain. Ruler marks, ink and round bubbles are taken out.

    Limits: stubble shorter than 0.04 of the longer side, single faint hairs, and the inside of dense tufts are missed;
    scratches on the glass, which are white lines too, and meshes wider than 0.04 of the side count as hair.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`.

    Example:
        >>> skin = torch.full((3, 90, 120), 0.8)
        >>> skin[:, 40:42, 10:100] = 0.2
        >>> found = hair(skin)
        >>> float(found[0, 40, 50]), float(found[0, 20, 50])
        (1.0, 0.0)

    Source: T. Lee et al., "DullRazor", Comput. Biol. Med. 27, 1997, for the closing; the rest is ours, measured by
    experiments/artefacts.py.
    """
    scene = _Scene(picture)
    return scene.mask(_hair(scene))


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
    scene = _Scene(picture)
    return scene.mask(scene.marks)


def ink(picture: Image) -> Mask:
    """Surgical marker and coloured stickers, blue, violet or green: 1 on them, shape (1, h, w).

    In CIELAB: hue between green (95 degrees) and violet (320), chroma above 20 (above 70 for yellow-green), more than
    22 from the picture's median colour, and darker than it by 12, or vivid. The blue-grey of lesions has less chroma.

    Limits: blue naevi and bloody tumours may reach it (`find_artefacts` with the lesion's mask leaves them out); faded
    pen, and pen so dark or so red that its hue is that of vessels, is missed; its strokes may then be called hair.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`.

    Example:
        >>> skin = torch.tensor([0.85, 0.65, 0.6])[:, None, None].repeat(1, 90, 120)
        >>> skin[:, 20:40, 20:40] = torch.tensor([0.35, 0.2, 0.6])[:, None, None]
        >>> found = ink(skin)
        >>> float(found[0, 30, 30]), float(found[0, 60, 80])
        (1.0, 0.0)

    Source: ours; measured by experiments/artefacts.py.
    """
    scene = _Scene(picture)
    return scene.mask(scene.inked)


def dark_corner(picture: Image) -> Mask:
    """The dark surround of a round field of view: 1 on it, shape (1, h, w).

    Parts darker than 0.4 of the picture's typical brightness that hold a corner of the picture; those that hold only
    one are cut at 0.75 of the way from the centre to a side, for a dark lesion may run into them.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`.

    Example:
        >>> y, x = torch.meshgrid(torch.linspace(-1, 1, 90), torch.linspace(-1, 1, 120), indexing="ij")
        >>> found = dark_corner((0.8 * (y**2 + x**2 < 1.4).float()).expand(3, -1, -1))
        >>> float(found[0, 1, 1]), float(found[0, 45, 60])
        (1.0, 0.0)

    Source: ours; measured by experiments/artefacts.py.
    """
    scene = _Scene(picture)
    return scene.mask(scene.corners)


def bubbles(picture: Image) -> Mask:
    """Bubbles of the contact gel and their reflections: 1 on them, shape (1, h, w).

    `SEVERAL` small spots that outshine both their surroundings and the picture's typical skin in the darkest channel,
    which only white does; and long thin lines that close to one small circle, the rim of a bubble.

    Limits: transparent bubbles with faint or interrupted rims are missed; scales and other reflections of a lesion are
    found too, for nothing but their place tells them apart.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`.

    Example:
        >>> skin = torch.tensor([0.85, 0.6, 0.5])[:, None, None].repeat(1, 90, 120)
        >>> skin[:, 20:23, 20:50:10] = skin[:, 21:24, 20:50:10] = skin[:, 20:23, 21:51:10] = 0.98
        >>> found = bubbles(skin)
        >>> float(found[0, 21, 21]), float(found[0, 60, 80])
        (1.0, 0.0)

    Source: ours; measured by experiments/artefacts.py.
    """
    scene = _Scene(picture)
    return scene.mask(_bubbles(scene))


ARTEFACTS: dict[str, Callable[[Image], Mask]] = {
    "hair": hair,
    "ruler": ruler,
    "ink": ink,
    "dark_corner": dark_corner,
    "bubbles": bubbles,
}
"""The finders by name."""


def find_artefacts(picture: Image, lesion: Mask | None = None) -> dict[str, Mask]:
    """All artefacts of one picture by the names of `ARTEFACTS`; none overlaps a dark corner.

    Args:
        picture: RGB in [0, 1], shape (3, h, w), any size.
        lesion: 1 on the lesion, shape (1, h, w); ink is then not looked for on it, where blue is pigment.

    Returns:
        Masks of zeros and ones, each (1, h, w).

    Raises:
        TypeError, ValueError: it is no picture, see `check_images`; the mask has another size.

    Example:
        >>> sorted(name for name, mask in find_artefacts(torch.full((3, 64, 64), 0.7)).items() if mask.any())
        []

    Source: see the finders; how often they are right on HAM10000 is in experiments/results/artefacts/.
    """
    scene = _Scene(picture)
    if lesion is not None and tuple(lesion.shape) != (1, *scene.size):
        raise ValueError(f"the mask must have shape (1, {scene.size[0]}, {scene.size[1]}), got {tuple(lesion.shape)}")
    corner = scene.mask(scene.corners)
    found = {"hair": _hair(scene), "ruler": scene.marks, "ink": scene.inked, "bubbles": _bubbles(scene)}
    masks = {name: scene.mask(part) * (1 - corner) for name, part in found.items()} | {"dark_corner": corner}
    if lesion is not None:
        masks["ink"] = masks["ink"] * (lesion.to(masks["ink"]) < 0.5)
    return {name: masks[name] for name in ARTEFACTS}


def _hair(scene: _Scene) -> Array:
    other = _dilated(scene.marks, scene.pixels(0.03)) | _dilated(scene.inked, scene.pixels(0.02))
    return scene.lines & ~scene.rings & ~other


def _round_lines(scene: _Scene) -> Array:
    """Lines that close to one small circle: the rim of a bubble, not a hair."""
    import cv2

    found = np.zeros(scene.rgb.shape[:2], np.uint8)
    for outline in cv2.findContours(scene.lines.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        (x, y), radius = cv2.minEnclosingCircle(outline)
        off = outline[:, 0] - np.array([x, y])
        turns = np.unique(np.floor(np.arctan2(off[:, 1], off[:, 0]) / np.pi * 12))
        round_ = float(np.hypot(*off.T).std()) < 0.12 * radius
        if radius < scene.pixels(0.13) and len(turns) > 16 and round_:
            cv2.drawContours(found, [outline], -1, 1, cv2.FILLED)
    return np.asarray(scene.lines & found.astype(bool))


def _lines_like(line: _Line, scene: _Scene, hat: Array) -> Array:
    """The parts of a hat, 0 to 255, that are lines at least as dark, straight and long as one."""
    import cv2

    # What is darker than needed counts no more: a line is a line by all of its length, not by one dark dot.
    straight = _straightness(np.minimum(hat, 1.5 * line.contrast), scene.odd(line.straight))
    grain = cv2.medianBlur((4 * straight).clip(0, 255).astype(np.uint8), scene.odd(0.12)).astype(np.float32) / 4
    seeds = straight > np.maximum(0.6 * line.contrast, 4 * grain)
    around = (straight > np.maximum(0.3 * line.contrast, 2 * grain)) & (hat > 0.5 * line.contrast)
    return _thin_parts(scene, seeds, around, line.length)


def _straightness(hat: Array, length: int) -> Array:
    """Mean of the hat along the best direction less the mean over all directions, shape (h, w)."""
    import cv2

    best, total = np.zeros_like(hat), np.zeros_like(hat)
    for kernel in _lines(length):
        along = cv2.filter2D(hat, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        best, total = np.maximum(best, along), total + along
    return np.asarray(best - total / ANGLES)


def _lines(length: int) -> Iterator[Array]:
    """Line segments through the centre of a square, one for each direction, soft-edged, (length, length)."""
    at = np.arange(length) - (length - 1) / 2
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        off = np.abs(at[:, None] * np.cos(angle) - at[None] * np.sin(angle))
        inside = np.hypot(at[:, None], at[None]) <= length / 2
        yield (np.clip(1 - off, 0, 1) * inside).astype(np.float32)


def _thin_parts(scene: _Scene, seeds: Array, around: Array, shortest: float) -> Array:
    """Of the connected parts that hold a seed, those long (share of the longer side) and thin."""
    import cv2

    count, parts, stats, _ = cv2.connectedComponentsWithStats(around.astype(np.uint8), connectivity=8)
    rim = around & ~cv2.erode(around.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    length = np.bincount(parts.ravel(), rim.ravel(), count) / 2
    extent = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    thin = stats[:, cv2.CC_STAT_AREA] / np.maximum(np.maximum(length, extent), 1) < scene.pixels(WIDEST_HAIR)
    kept = thin & (extent > scene.pixels(shortest)) & np.isin(np.arange(count), parts[seeds])
    kept[0] = False
    return np.asarray(kept[parts])


def _ruler(scene: _Scene) -> Array:
    return _tick_rows(scene) | _combs(scene) | _bars(scene)


def _tick_rows(scene: _Scene) -> Array:
    """Parallel ticks near the rim that point to the centre, as a dermatoscope's scale has them.

    Three or more of them, each as far from the next, or any in a corner of a picture that has hardly anything alike.
    """
    ticks, parts = _ticks(scene)
    hairs = set(parts[scene.long_dark].tolist())  # the darkest stretch of a hair is no tick
    radial = [tick for tick in ticks if tick.number not in hairs and _is_radial(tick, scene)]
    rows = [_row_from(first, second, radial, scene) for first in radial for second in radial]
    found = {tick.number for row in rows if len(row) >= 3 for tick in row}
    if len(ticks) <= FEW:
        found |= {tick.number for tick in radial if _in_corner(tick, scene) and tick.length > scene.pixels(0.03)}
    return np.isin(parts, list(found)) if found else np.zeros(parts.shape, bool)


@dataclass(frozen=True)
class _Tick:
    """A short straight dark part: its number among the parts, centre (x, y), direction and length in pixels."""

    number: int
    centre: Array
    direction: Array
    length: float


def _ticks(scene: _Scene) -> tuple[list[_Tick], Array]:
    import cv2

    dark = (scene.dark_hat > 30).astype(np.uint8)
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
            ticks.append(_Tick(int(number), points.mean(0), axes[:, 1], float(np.sqrt(12 * spread[1]))))
    return ticks, parts


def _row_from(first: _Tick, second: _Tick, ticks: list[_Tick], scene: _Scene) -> list[_Tick]:
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


def _beside(first: _Tick, second: _Tick, step: Array) -> bool:
    """Whether two ticks are parallel and lie side by side rather than end to end."""
    parallel = abs(float(first.direction @ second.direction)) > 0.96
    return parallel and abs(float(first.direction @ step)) < 0.45 * float(np.hypot(*step))


def _is_radial(tick: _Tick, scene: _Scene) -> bool:
    """Whether a tick lies near the rim and points within 30 degrees of the centre."""
    height, width = scene.rgb.shape[:2]
    inward = np.array([width, height]) / 2 - tick.centre
    x, y = np.abs(inward) / (width / 2, height / 2)
    return bool(max(x, y) > 0.6) and abs(float(tick.direction @ inward)) > 0.86 * float(np.hypot(*inward))


def _in_corner(tick: _Tick, scene: _Scene) -> bool:
    height, width = scene.rgb.shape[:2]
    return bool(np.hypot(*(2 * tick.centre / (width, height) - 1)) > 1.05)


def _bars(scene: _Scene) -> Array:
    """Straight long lines with a comb of ticks at one side."""
    import cv2

    found = np.zeros(scene.rgb.shape[:2], bool)
    lines = scene.long_dark.astype(np.uint8)
    for outline in cv2.findContours(lines, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        (x, y), size, turn = cv2.minAreaRect(outline)
        long, narrow = max(size), min(size)
        if long < scene.pixels(0.2) or narrow > scene.pixels(0.05):
            continue
        depth = scene.pixels(0.05)
        strip = _strip(scene.dark_hat, (x, y), turn if size[0] >= size[1] else turn + 90, round(long), depth)
        thick = max(3, depth // 2)
        bands = [strip[top : top + thick] for top in range(0, 2 * depth - thick + 1, max(1, thick // 2))]
        if any(_is_comb(band, scene) for band in bands):
            wide = (long + 2, 2.0 * depth) if size[0] >= size[1] else (2.0 * depth, long + 2)
            corners = cv2.boxPoints(((x, y), wide, turn)).astype(np.int32)
            found |= cv2.fillConvexPoly(np.zeros(found.shape, np.uint8), corners, 1).astype(bool) & (scene.dark_hat > 8)
    return found


def _strip(hat: Array, centre: tuple[float, float], turn: float, length: int, depth: int) -> Array:
    """What lies within `depth` of a line through a point (x, y), turned upright, shape (2 * depth, length)."""
    import cv2

    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    corner = np.array(centre) - length / 2 * np.array([cos, sin]) + depth * np.array([sin, -cos])
    place = np.array([[cos, -sin, corner[0]], [sin, cos, corner[1]]])
    return np.asarray(cv2.warpAffine(hat, place, (length, 2 * depth), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))


def _combs(scene: _Scene) -> Array:
    """Fine scales along the picture's sides: bands where dark lines come at one period."""
    found = np.zeros(scene.rgb.shape[:2], bool)
    for turns in range(4):
        hat = np.rot90(scene.dark_hat, turns)
        where = _combs_at_top(hat, scene)
        found |= np.rot90(where, -turns)
    return found


def _combs_at_top(hat: Array, scene: _Scene) -> Array:
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


def _is_comb(band: Array, scene: _Scene) -> bool:
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


def _ink(scene: _Scene) -> Array:
    import cv2

    lightness, green_red, blue_yellow = np.moveaxis(scene.lab, 2, 0)
    seen = ~scene.corners
    skin = np.median(scene.lab[seen], 0) if seen.any() else np.zeros(3)
    hue, chroma = np.degrees(np.arctan2(blue_yellow, green_red)) % 360, np.hypot(green_red, blue_yellow)
    step = np.hypot(green_red - skin[1], blue_yellow - skin[2])
    darker = (skin[0] - lightness > 12) | (chroma > 45)
    found = (hue > 95) & (hue < 320) & (chroma > np.where(hue < 130, 70, 20)) & (step > 22) & darker & seen
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return _large_parts(opened, scene.pixels(0.02) ** 2)


def _dark_corner(scene: _Scene) -> Array:
    import cv2

    typical = float(np.median(scene.bright[scene.radius < 1]))
    black = (scene.bright < min(0.4 * typical, 90)).astype(np.uint8)
    opened = cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, parts = cv2.connectedComponents(opened)
    ends = [int(parts[y, x]) for y in (0, -1) for x in (0, -1)]
    kept = np.zeros(black.shape, bool)
    for part in set(ends) - {0}:
        kept |= (parts == part) & ((scene.radius > 0.75) | (ends.count(part) > 1))
    return _dilated(kept, scene.pixels(0.01)) & (scene.bright < 0.7 * typical)


def _bubbles(scene: _Scene) -> Array:
    import cv2

    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (scene.odd(0.035),) * 2)
    hat = cv2.morphologyEx(scene.white, cv2.MORPH_TOPHAT, disc)
    typical = float(np.median(scene.white[scene.radius < 1]))
    found = (hat > 50) & (scene.white > max(170.0, typical + 30)) & ~scene.near_corners
    spots = _large_parts(found, max(2, scene.pixels(0.006) ** 2))
    several = cv2.connectedComponents(spots.astype(np.uint8))[0] - 1 >= SEVERAL
    return (_dilated(spots, scene.pixels(0.004)) & (hat > 25) & several) | scene.rings


def _large_parts(found: Array, least: int) -> Array:
    import cv2

    count, parts, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= least
    kept[0] = False
    return np.asarray(kept[parts]) if count > 1 else np.zeros(found.shape, bool)


def _dilated(found: Array, reach: int) -> Array:
    import cv2

    disc: Any = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    return np.asarray(cv2.dilate(found.astype(np.uint8), disc).astype(bool))
