"""The factors of a synthetic lesion image, and the rule by which some of them cause its label.

Source: W. Stolz et al., "ABCD rule of dermatoscopy", Eur. J. Dermatology 4, 1994; F. Nachbar et al., "The ABCD rule
of dermatoscopy", J. Am. Acad. Dermatology 30, 1994: total dermatoscopy score TDS = 1.3 A + 0.1 B + 0.5 C + 0.5 D,
benign below 4.75, malignant above 5.45. Ours: every part is continuous, see `score`.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np

CLASSES = ("benign", "malignant")
BENIGN_BELOW, MALIGNANT_ABOVE = 4.75, 5.45  # no sample scores between the two, which the rule calls suspicious
MARGIN = 0.05  # true counterfactuals lie this far beyond the bound of their class
COLOURS = ("light_brown", "dark_brown", "black", "blue_grey", "red", "white")  # the six colours of the rule
STRUCTURES = ("dots", "streaks", "veil", "network")  # the veil stands for the rule's structureless areas (ours)
# What one unit of each causal factor adds to the score; all other factors cause nothing.
WEIGHTS = {"asymmetry": 1.3 * 1.5, "colour_spread": 1.3 * 0.5, "border": 0.1 * 8} | dict.fromkeys(
    COLOURS + STRUCTURES, 0.5
)


@dataclass(frozen=True)
class Factors:
    """The lesion itself; causal factors run from 0 (absent) to 1 (marked)."""

    asymmetry: float = 0.1  # of the outline and of the place where colours gather, 0 to 1
    border: float = 0.1  # share of the outline that is notched and abruptly cut off, 0 to 1
    colour_spread: float = 0.1  # 0 colours lie in rings around one centre, 1 they lie in scattered patches
    light_brown: float = 0.7  # presence of the colour, 0 absent to 1 clearly there; grows with the area that it covers
    dark_brown: float = 0.6
    black: float = 0.0
    blue_grey: float = 0.0
    red: float = 0.0
    white: float = 0.0
    dots: float = 0.0  # number of dots and globules, 0 none to 1 about forty
    streaks: float = 0.0  # number of radial streaks at the rim, 0 none to 1 all around
    veil: float = 0.0  # extent and opacity of a blue-white veil, 0 to 1
    network: float = 0.3  # contrast of the pigment network, 0 to 1
    diameter: float = 6.5  # of the circle of equal area, 3 to 11 mm in a field of view of 14 mm; causes nothing
    elongation: float = 0.15  # 0 round to 0.5 twice as long as wide; causes nothing
    pigmentation: float = 0.5  # how dark the lesion's ground is, 0 pale to 1 deep brown; causes nothing

    def __post_init__(self) -> None:
        wrong = {name: value for name, value in asdict(self).items() if name in WEIGHTS and not 0 <= value <= 1}
        if wrong or not 0 < self.diameter < 14:
            raise ValueError(
                f"causal factors must lie in [0, 1], got {wrong}, and the diameter in (0, 14) mm, got {self.diameter}"
            )


@dataclass(frozen=True)
class Nuisance:
    """Everything that changes the image but not the lesion."""

    skin_tone: float = 48.0  # individual typology angle in degrees, -20 dark to 65 very light
    redness: float = 0.4  # of the skin, 0 pale to 1 flushed
    exposure: float = 1.0  # gain of all channels, about 0.9 to 1.15
    warmth: float = 0.0  # white balance from -1 (bluish) to 1 (reddish)
    tint: float = 0.0  # white balance from -1 (greenish) to 1 (pink)
    gradient: float = 0.05  # fall of the light across the image, 0 to 0.3
    gradient_angle: float = 0.0  # direction of the light in radians
    hair: int = 0  # number of hairs, 0 to 14
    ruler: bool = False  # whether a millimetre ruler lies in the image
    vignette: float = 0.0  # dark corners, 0 none to 1 a round black frame
    x: float = 0.0  # centre of the lesion right of the image's centre, mm
    y: float = 0.0  # centre of the lesion below the image's centre, mm
    rotation: float = 0.0  # of the lesion in radians
    noise: float = 0.006  # standard deviation of the sensor noise in [0, 1] intensity
    seed: int = 0  # of every texture, of hair and of the lesion's individual outline

    def rng(self, part: int) -> np.random.Generator:
        """The random generator of one part of the image, independent of the other parts."""
        return np.random.default_rng([self.seed, part])


def score(factors: Factors) -> float:
    """The total dermatoscopy score, continuous, 0 to 8.4.

    TDS = 1.3 A + 0.1 B + 0.5 C + 0.5 D with A = 1.5 asymmetry + 0.5 colour_spread (0 to 2), B = 8 border (0 to 8),
    C = sum of the six colours (0 to 6), D = sum of the four structures (0 to 4).

    Source: Stolz 1994, Nachbar 1994 (see the module). Ours: continuous parts where the rule counts; the spread of
    colours as a quarter of A; four structures where the rule has five.
    """
    return float(sum(weight * getattr(factors, name) for name, weight in WEIGHTS.items()))


def label(factors: Factors) -> int:
    """Index into `CLASSES`: 1 if the score is above the middle of the two bounds."""
    return int(score(factors) > (BENIGN_BELOW + MALIGNANT_ABOVE) / 2)


def sample_factors(rng: np.random.Generator, target: int) -> Factors:
    """Draw a lesion of a class, never in the margin between the classes.

    A hidden severity correlates the causal factors loosely, so that each varies in both classes; draws on the wrong
    side of the rule are rejected. The factors that cause nothing are independent of the class.
    """
    shape = {"diameter": float(rng.triangular(4.0, 8.0, 11.0)), "elongation": float(rng.uniform(0, 0.4))}
    shape["pigmentation"] = float(rng.uniform(0, 1))
    while True:
        factors = Factors(**_causes(rng, rng.uniform(*((0.62, 1.0) if target else (0.0, 0.55)))), **shape)
        if score(factors) > MALIGNANT_ABOVE if target else score(factors) < BENIGN_BELOW:
            return factors


def _causes(rng: np.random.Generator, severity: float) -> dict[str, float]:
    """Causal factors around a severity in [0, 1]; the browns and the network are common in every lesion."""
    spreads = {"asymmetry": 0.2, "border": 0.2, "colour_spread": 0.25}
    causes = {name: float(np.clip(severity + rng.normal(0, spread), 0, 1)) for name, spread in spreads.items()}
    for name in COLOURS + STRUCTURES:
        common = name in ("light_brown", "dark_brown", "network")
        present = rng.uniform() < (0.35 + 0.6 * severity if common else 0.05 + 0.85 * severity)
        causes[name] = float(rng.uniform(0.4, 1) if present else rng.uniform(0, 0.12))
    return causes


def sample_nuisance(rng: np.random.Generator) -> Nuisance:
    """Draw everything but the lesion."""
    return Nuisance(
        skin_tone=float(66 - 75 * rng.beta(1.1, 4)),
        redness=float(rng.beta(1.1, 1.8)),
        exposure=float(rng.uniform(0.92, 1.14)),
        warmth=float(np.clip(rng.normal(0, 0.45), -1, 1)),
        tint=float(np.clip(rng.normal(0.15, 0.4), -1, 1)),
        gradient=float(rng.uniform(0, 0.2)),
        gradient_angle=float(rng.uniform(0, 2 * np.pi)),
        hair=int(rng.integers(2, 14)) if rng.uniform() < 0.35 else 0,
        ruler=bool(rng.uniform() < 0.12),
        vignette=float(rng.uniform(0.3, 1)) if rng.uniform() < 0.12 else 0.0,
        x=float(np.clip(rng.normal(0, 0.6), -1.5, 1.5)),
        y=float(np.clip(rng.normal(0, 0.6), -1.5, 1.5)),
        rotation=float(rng.uniform(0, 2 * np.pi)),
        noise=float(rng.uniform(0.003, 0.012)),
        seed=int(rng.integers(2**31)),
    )


def true_counterfactual(factors: Factors, target: int) -> Factors:
    """The nearest lesion of the target class: causal factors changed least, all others kept.

    Least in the Euclidean norm of the causal factors, which all run from 0 to 1: each moves along its weight in the
    rule, x' = clip(x + step w, 0, 1), with the smallest step whose score lies `MARGIN` beyond the target's bound. A
    lesion that already has the target's score is returned unchanged.

    Example:
        >>> label(true_counterfactual(Factors(), 1))
        1
    """
    bound, sign = ((BENIGN_BELOW - MARGIN, -1.0), (MALIGNANT_ABOVE + MARGIN, 1.0))[target]

    def moved(step: float) -> Factors:
        values = {name: getattr(factors, name) + sign * step * weight for name, weight in WEIGHTS.items()}
        return replace(factors, **{name: float(np.clip(value, 0, 1)) for name, value in values.items()})

    if sign * (score(factors) - bound) >= 0:
        return factors
    low, high = 0.0, 1.0 / min(WEIGHTS.values())
    for _ in range(60):
        middle = (low + high) / 2
        reached = sign * (score(moved(middle)) - bound) >= 0
        low, high = (low, middle) if reached else (middle, high)
    return moved(high)
