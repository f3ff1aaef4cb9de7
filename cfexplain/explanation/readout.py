"""The readout of a counterfactual in words and numbers: the lesion's ABCD before and after."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from cfexplain.dermoscopy.abcd import COLOURS, PRESENT, Appearance, checked_mask, describe
from cfexplain.dermoscopy.segment import (
    OTSU_SHARE,
    Array,
    as_array,
    central_disc,
    colour_distance,
    lesion_above,
    outline_level,
)
from cfexplain.images import check_images
from cfexplain.types import Image, Mask

_MEASURED = {  # The natural spread of each measure, and its noise.
    "asymmetry": (0.0444, 0.0165),
    "colour_asymmetry": (2.76, 0.68),
    "irregularity": (0.164, 0.0329),
    "abruptness": (0.413, 0.0894),
    "white": (0.00404, 0.0),
    "red": (0.236, 0.0526),
    "light_brown": (0.23, 0.0486),
    "dark_brown": (0.194, 0.02),
    "blue_grey": (0.054, 0.00566),
    "black": (0.136, 0.00432),
    "diameter": (0.156, 0.0111),
    "darkness": (0.0975, 0.00559),
    "contrast": (10.9, 0.417),
    "inhomogeneity": (4.01, 0.24),
}
# Natural spread: standard deviation over real lesions. Source: experiments/readout_check.py.
SPREAD: Mapping[str, float] = {name: spread for name, (spread, _) in _MEASURED.items()}
# Noise: 95 % of the absolute changes are smaller when the same lesion is seen again, turned by up to 5 degrees, shifted
# by up to 1 % and with noise of 0.01. Source: experiments/readout_check.py.
NOISE: Mapping[str, float] = {name: noise for name, (_, noise) in _MEASURED.items()}

# A change is believed from this multiple of its noise on: fourteen measures are looked at together and their noise has
# heavy tails; experiments/readout_check.py gives the false alarms that are left.
BEYOND_NOISE = 2.0
WORTH_A_WORD = 0.5  # Smaller changes than half a standard deviation, a medium effect, are left to the numbers.
ROOM = 0.12  # How far a lesion may grow beyond a given mask, share of the side; what lies farther off is skin.
MATCH = 0.6  # A given mask counts as matched by a found outline from this IoU on.


@dataclass(frozen=True)
class Readout:
    """A lesion and its counterfactual in numbers; `words` says what stands out.

    Attributes:
        before: the query's lesion.
        after: the counterfactual's.
        inside: share of the absolute change that lies on the query's lesion; None where nothing changed.
        outline_held: True where one outline had to serve both pictures, so that its shape cannot have changed.
        cut_off: True where the picture's rim cuts a lesion, so that its whole shape is not known; words leave it out.
    """

    before: Appearance
    after: Appearance
    inside: float | None
    outline_held: bool = False
    cut_off: bool = False

    @property
    def change(self) -> dict[str, float]:
        """After - before, by name."""
        before, after = self.before.numbers(), self.after.numbers()
        return {name: after[name] - before[name] for name in before}

    @property
    def standing_out(self) -> tuple[str, ...]:
        """Measures that changed beyond `least_change`, the largest share of their `SPREAD` first, one of a kind."""
        size = {name: abs(self.in_spreads(name)) for name in SPREAD if self.stands_out(name)}
        kinds: dict[str, str] = {}
        for name in sorted(size, key=lambda n: -size[n]):
            kinds.setdefault(_KIND.get(name, name), name)
        return tuple(kinds.values())

    def compared(self, name: str) -> bool:
        """Whether a measure can be compared: not the shape of a lesion that the image's border cuts off."""
        return not (self.cut_off and name in _OF_WHOLE)

    def stands_out(self, name: str) -> bool:
        """Whether a measure can be compared and changed by more than `least_change`."""
        return self.compared(name) and abs(self.change[name]) > least_change(name)

    def in_spreads(self, name: str) -> float:
        """The change of a measure as a multiple of its natural spread, of a colour at least `PRESENT`."""
        return self.change[name] / (max(SPREAD[name], PRESENT) if name in COLOURS else SPREAD[name])

    def finding(self, source: str, target: str, *, flipped: bool = True, most: int = 3) -> str:
        """One sentence with at most so many changes, the largest relative to their natural spread first.

        Example:
            >>> from dataclasses import replace
            >>> before = Appearance(0.1, 5, 1.1, 0.3, dict.fromkeys(COLOURS, 0.0), 0.4, 51, 0.5, 30, 8)
            >>> after = replace(before, irregularity=1.6)
            >>> found = Readout(before, after, 0.9)
            >>> found.finding("nv", "mel")
            'The prediction flips from nv to mel when the border becomes 45 % more irregular.'
            >>> found.qualification
            '90 % of the change lies on the lesion.'
        """
        named = [self._phrase(name) for name in self.standing_out[:most]]
        verb = f"flips from {source} to {target}" if flipped else f"does not reach {target} from {source}"
        if named:
            listed = " and ".join(part for part in (", ".join(named[:-1]), named[-1]) if part)
            return f"The prediction {verb} {'when' if flipped else 'although'} {listed}."
        return (
            f"The prediction {verb}, {'but' if flipped else 'and'} no measure of the lesion's shape or colour "
            "stands out from its noise."
        )

    @property
    def qualification(self) -> str:
        """What qualifies the finding: where the change lies, and what of the outline could not be compared."""
        if self.inside is None:
            return "The two pictures are the same."
        held = " One outline served both pictures." if self.outline_held else ""
        cut = " The outline reaches the picture's rim: its shape is not compared." if self.cut_off else ""
        return f"{100 * self.inside:.0f} % of the change lies on the lesion.{held}{cut}"

    def _phrase(self, name: str) -> str:
        before, after = self.before.numbers()[name], self.after.numbers()[name]
        if name in COLOURS:
            return _colour_phrase(name.replace("_", "-" if name == "blue_grey" else " "), before, after)
        subject, more, less = _WORDS[name]
        amount = f"{abs(after / before - 1) * 100:.0f} % " if before > 1e-3 and after / before < 3 else "much "
        return f"{subject} {amount}{more if after > before else less}"


_WORDS = {
    "asymmetry": ("the outline becomes", "more asymmetric", "more symmetric"),
    "colour_asymmetry": ("the colours become", "more asymmetric", "more symmetric"),
    "irregularity": ("the border becomes", "more irregular", "more regular"),
    "abruptness": ("the border becomes", "more abrupt", "more gradual"),
    "diameter": ("the lesion becomes", "wider", "narrower"),
    "darkness": ("the lesion becomes", "darker", "lighter"),
    "contrast": ("the lesion's contrast to the skin becomes", "stronger", "weaker"),
    "inhomogeneity": ("the pigment becomes", "more uneven", "more even"),
}
_OF_WHOLE = ("asymmetry", "irregularity")
_KIND = {"abruptness": "irregularity", "contrast": "darkness", "colour_asymmetry": "inhomogeneity"} | dict.fromkeys(
    COLOURS, "colour"
)


def readout(query: Image, counterfactual: Image, mask: Mask | None = None) -> Readout:
    """Describe a lesion and its counterfactual by the same ruler.

    Both outlines lie at one colour distance from each picture's own skin, the one found on the query, so that a picture
    beside itself reads out zero. A given mask is not an outline itself: it selects the colour distance and the part of
    the query (the best overlap), and both outlines are then found with those, no farther from the mask than `ROOM`.
    Where nothing matches it (IoU below `MATCH`), or the counterfactual has no lesion left at that distance, the query's
    outline serves both and only colours are compared.

    Raises:
        TypeError, ValueError: not images, see `check_images`; their sizes differ; the mask is empty.
    """
    if query.shape != counterfactual.shape:
        raise ValueError(f"query {tuple(query.shape)} and counterfactual {tuple(counterfactual.shape)} differ in size")
    check_images(torch.stack([query, counterfactual]))
    given = None if mask is None else checked_mask(mask, query)
    start, end, held = outlines(query, counterfactual, given)
    before, after = (describe(x, torch.from_numpy(at)[None]) for x, at in ((query, start), (counterfactual, end)))
    moved = np.abs(as_array(counterfactual) - as_array(query)).sum(2)
    inside = float((moved * start).sum() / moved.sum()) if moved.any() else None
    return Readout(before, after, inside, held, _at_rim(start | end))


def outlines(query: Image, counterfactual: Image, given: Array | None = None) -> tuple[Array, Array, bool]:
    """The lesion before and after as booleans (h, w), and whether one outline had to serve both; see `readout`."""
    from scipy import ndimage

    distance, seen = colour_distance(as_array(query))
    level = outline_level(distance, seen)
    before = lesion_above(distance, seen, level)
    around = np.ones_like(before)
    if given is not None:
        around = ndimage.distance_transform_edt(~given) <= ROOM * min(given.shape)
        # Otsu's threshold is the middle of the search; experts differ by more than its ends do.
        tried = [(share / OTSU_SHARE) * level for share in np.linspace(0.2, 1.4, 13)]
        level = max(tried, key=lambda t: _iou(lesion_above(distance, seen & around, t, given), given))
        before = lesion_above(distance, seen & around, level, given)
        if _iou(before, given) < MATCH:
            return given, given, True
    elif not before.any():
        before = central_disc(before.shape)
        return before, before, True
    distance, seen = colour_distance(as_array(counterfactual))
    after = lesion_above(distance, seen & around, level, before)
    return (before, after, False) if after.any() else (before, before, True)


def least_change(name: str) -> float:
    """The change that earns a measure a word: beyond its noise and a share of its spread; of a colour, `PRESENT`."""
    return max(BEYOND_NOISE * NOISE[name], PRESENT if name in COLOURS else WORTH_A_WORD * SPREAD[name])


def _at_rim(lesion: Array) -> bool:
    return bool(lesion[[0, -1]].any() or lesion[:, [0, -1]].any())


def _iou(found: Array, given: Array) -> float:
    return float((found & given).sum() / (found | given).sum())


def _colour_phrase(colour: str, before: float, after: float) -> str:
    article = "an" if colour[0] in "aeiou" else "a"
    if before < PRESENT <= after:
        return f"{article} {colour} area appears on {100 * after:.0f} % of the lesion"
    if after < PRESENT <= before:
        return f"the {colour} area on {100 * before:.0f} % of the lesion disappears"
    verb = "grows" if after > before else "shrinks"
    return f"the {colour} area {verb} from {100 * before:.0f} % to {100 * after:.0f} % of the lesion"
