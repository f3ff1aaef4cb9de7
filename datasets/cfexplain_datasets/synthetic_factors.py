"""What a synthetic lesion is made of, and the rule of its factors that causes its label.

Source: W. Stolz et al., "ABCD rule of dermatoscopy", Eur. J. Dermatology 4, 1994; F. Nachbar et al., "The ABCD rule
of dermatoscopy", J. Am. Acad. Dermatology 30, 1994: total dermatoscopy score TDS = 1.3 A + 0.1 B + 0.5 C + 0.5 D,
benign below 4.75, malignant above 5.45. Ours: every part is continuous, see `score`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

CLASSES = ("benign", "malignant")
"""Class names in the order of the labels."""

BENIGN_BELOW = 4.75
"""Every benign sample scores less."""

MALIGNANT_ABOVE = 5.45
"""Every malignant sample scores more; no sample lies between (the rule calls those suspicious)."""

MARGIN = 0.05
"""True counterfactuals go this far beyond the bound of their class."""

COLOURS = ("light_brown", "dark_brown", "black", "blue_grey", "red", "white")
"""The six colours of the rule."""

STRUCTURES = ("dots", "streaks", "veil", "network")
"""The differential structures that are drawn; the veil stands in for the rule's structureless areas (ours)."""

WEIGHTS = {"asymmetry": 1.3 * 1.5, "colour_spread": 1.3 * 0.5, "border": 0.1 * 8} | dict.fromkeys(
    COLOURS + STRUCTURES, 0.5
)
"""What one unit of each causal factor adds to the score; factors that are not listed cause nothing."""


@dataclass(frozen=True)
class Factors:
    """What the lesion itself looks like; the causal ones run from 0 (absent) to 1 (marked).

    Attributes:
        asymmetry: of the outline and of the place where colours gather, 0 to 1.
        border: share of the outline that is notched and abruptly cut off, 0 to 1.
        colour_spread: 0 colours lie in rings around one centre, 1 they lie in scattered patches.
        light_brown: presence of the colour, 0 absent to 1 clearly there; grows with the area that it covers.
        dark_brown: as above.
        black: as above.
        blue_grey: as above.
        red: as above.
        white: as above.
        dots: number of dots and globules, 0 none to 1 about forty.
        streaks: number of radial streaks at the rim, 0 none to 1 all around.
        veil: extent and opacity of a blue-white veil, 0 to 1.
        network: contrast of the pigment network, 0 to 1.
        diameter: of the circle of equal area, 3 to 11 mm in a field of view of 14 mm; causes nothing.
        elongation: 0 round to 0.5 twice as long as wide; causes nothing.
        pigmentation: how dark the lesion's ground is, 0 pale to 1 deep brown; causes nothing.
    """

    asymmetry: float = 0.1
    border: float = 0.1
    colour_spread: float = 0.1
    light_brown: float = 0.7
    dark_brown: float = 0.6
    black: float = 0.0
    blue_grey: float = 0.0
    red: float = 0.0
    white: float = 0.0
    dots: float = 0.0
    streaks: float = 0.0
    veil: float = 0.0
    network: float = 0.3
    diameter: float = 6.5
    elongation: float = 0.15
    pigmentation: float = 0.5

    def __post_init__(self) -> None:
        """Refuse causal factors outside [0, 1] and diameters that are none."""
        wrong = {name: value for name, value in asdict(self).items() if name in WEIGHTS and not 0 <= value <= 1}
        if wrong:
            raise ValueError(f"causal factors must lie in [0, 1], got {wrong}")
        if not 0 < self.diameter < 14:
            raise ValueError(f"diameter must lie between 0 and 14 mm, got {self.diameter}")


def score(factors: Factors) -> float:
    """The total dermatoscopy score, continuous, 0 to 8.4.

    TDS = 1.3 A + 0.1 B + 0.5 C + 0.5 D with A = 1.5 asymmetry + 0.5 colour_spread (0 to 2), B = 8 border (0 to 8),
    C = sum of the six colours (0 to 6), D = sum of the four structures (0 to 4).

    Source: Stolz 1994, Nachbar 1994 (see the module) for weights and parts. Ours: continuous parts where the rule
    counts; the spread of colours as a quarter of A; four structures where the rule has five.

    Example:
        >>> round(score(Factors(asymmetry=1, border=0.5)), 3)
        3.215
    """
    return float(sum(weight * getattr(factors, name) for name, weight in WEIGHTS.items()))


def label(factors: Factors) -> int:
    """Index into `CLASSES`: 1 where the score is above the middle of the two bounds, which no sample comes near."""
    return int(score(factors) > (BENIGN_BELOW + MALIGNANT_ABOVE) / 2)


def sample_factors(rng: torch.Generator, target: int | None = None) -> Factors:
    """Draw a lesion of a class (both equally likely by default), never in the margin between them."""
    return draw_factors(numpy_rng(rng), target)


def draw_factors(rng: np.random.Generator, target: int | None = None) -> Factors:
    """As `sample_factors`, from a numpy generator.

    A hidden severity ties the causal factors loosely together, so that each is seen at work in both classes; draws
    on the wrong side of the rule are thrown away. The factors that cause nothing do not depend on the class.
    """
    wanted = int(rng.integers(2)) if target is None else target
    _check_class(wanted)
    shape = {
        "diameter": float(rng.triangular(4.0, 8.0, 11.0)),
        "elongation": float(rng.uniform(0, 0.4)),
        "pigmentation": float(rng.uniform(0, 1)),
    }
    while True:
        severity = rng.uniform(0.62, 1.0) if wanted else rng.uniform(0.0, 0.55)
        drawn = Factors(**_causes(rng, severity), **shape)
        if score(drawn) < BENIGN_BELOW if wanted == 0 else score(drawn) > MALIGNANT_ABOVE:
            return drawn


def true_counterfactual(factors: Factors, target: int) -> Factors:
    """The nearest lesion of the target class: causal factors moved least, all else kept.

    Least in the Euclidean norm of the causal factors, which all run from 0 to 1: each moves along its weight in the
    rule, x' = clip(x + step w, 0, 1), with the smallest step whose score lies `MARGIN` beyond the target's bound.

    Args:
        factors: the lesion.
        target: class index wanted; the lesion comes back as it is where it already has the target's score.

    Example:
        >>> label(true_counterfactual(Factors(), 1))
        1
    """
    _check_class(target)
    bound = MALIGNANT_ABOVE + MARGIN if target else BENIGN_BELOW - MARGIN
    sign = 1.0 if target else -1.0
    if sign * (score(factors) - bound) >= 0:
        return factors
    low, high = 0.0, 1.0 / min(WEIGHTS.values())
    for _ in range(60):
        middle = (low + high) / 2
        reached = sign * (score(_moved(factors, sign * middle)) - bound) >= 0
        low, high = (low, middle) if reached else (middle, high)
    return _moved(factors, sign * high)


def numpy_rng(rng: torch.Generator) -> np.random.Generator:
    """A numpy generator seeded by one draw of a torch generator."""
    return np.random.default_rng(int(torch.randint(2**62, (1,), generator=rng, device=rng.device)))


def _causes(rng: np.random.Generator, severity: float) -> dict[str, float]:
    """Causal factors around a severity in [0, 1]; the browns and the network are common in every lesion."""
    causes = {name: float(np.clip(severity + rng.normal(0, 0.2), 0, 1)) for name in ("asymmetry", "border")}
    causes["colour_spread"] = float(np.clip(severity + rng.normal(0, 0.25), 0, 1))
    for name in COLOURS + STRUCTURES:
        common = name in ("light_brown", "dark_brown", "network")
        present = rng.uniform() < (0.35 + 0.6 * severity if common else 0.05 + 0.85 * severity)
        causes[name] = float(rng.uniform(0.4, 1) if present else rng.uniform(0, 0.12))
    return causes


def _moved(factors: Factors, step: float) -> Factors:
    moves = {name: float(np.clip(getattr(factors, name) + step * weight, 0, 1)) for name, weight in WEIGHTS.items()}
    return replace(factors, **moves)


def _check_class(target: int) -> None:
    if target not in range(len(CLASSES)):
        raise ValueError(f"the class must be 0 ({CLASSES[0]}) or 1 ({CLASSES[1]}), got {target}")
