"""Every method as a value: the difference between two methods is the difference between two expressions."""

from __future__ import annotations

from dataclasses import replace

from cfexplain.generators import Coarse, DeepImagePrior, FourierNetwork, Pixels, Pretrained
from cfexplain.method.line_search import LineSearch
from cfexplain.method.objective import Geometric, Objective, Ramp, total
from cfexplain.method.stage import Continuation, Method, Stage
from cfexplain.method.stop import CloseEnough, TargetReached
from cfexplain.method.views import Views
from cfexplain.plugins import load_object
from cfexplain.terms import (
    CompactChange,
    EstimatedLoss,
    PerceptualDistance,
    SameColour,
    SameFeatures,
    SamePixels,
    SparseChange,
    TargetClass,
    TotalVariation,
)

HOURGLASS = DeepImagePrior(widths=(16, 32, 64, 96, 96), gains="ones")
"""A narrow hourglass for speed: 664,663 parameters, where the published network has 2,217,831."""

_ANCHOR = Stage(
    objective=total((10.0, SamePixels()), (Ramp(0.0, 0.02, share=0.4), SameFeatures(), 3)),
    steps=250,
    learning_rate=1e-2,
    stop=CloseEnough(psnr=32.0, least=150),
)
_STAY = total((0.3, SameFeatures()), (50.0, SamePixels(to="anchor")), (10.0, SparseChange()))
_ESTIMATED = total((0.3, EstimatedLoss(quantile=0.5)))

DIP = Method(
    name="dip",
    generator=HOURGLASS,
    anchor=_ANCHOR,
    edit=Stage(
        _STAY | total((1.0, TargetClass(confidence=0.9))),
        steps=200,
        learning_rate=5e-4,
        stop=TargetReached(confidence=0.85),
    ),
)
"""Plain DIP inversion with a target: the baseline of Narayanaswamy et al. 2021."""

REGULARISED_DIP = replace(
    DIP, name="regularised-dip", edit=replace(DIP.edit, objective=DIP.edit.objective | _ESTIMATED)
)
"""Features, target and estimated loss (Narayanaswamy et al. 2021); weights are ours."""

TV = Method(
    name="tv",
    generator=Pixels(),
    edit=Stage(
        total(
            (0.3, SameFeatures()), (1.0, TargetClass(confidence=0.9)), (20.0, SamePixels()), (10.0, TotalVariation())
        ),
        steps=200,
        learning_rate=3e-2,
        stop=TargetReached(confidence=0.85),
    ),
    transfer="never",
)
"""Free pixels with total variation, the classical prior."""

PIXELS = replace(
    TV,
    name="pixels",
    edit=replace(TV.edit, objective=TV.edit.objective.without(TotalVariation, SameFeatures)),
)
"""Free pixels alone: the adversarial control."""

NATURAL = Method(
    name="natural",
    generator=Coarse(),
    anchor=Stage(total((10.0, SamePixels())), steps=10, learning_rate=1e-2),
    edit=Stage(
        total(
            (Geometric(1.0, factor=256.0), TargetClass(confidence=0.985)),
            (0.3, EstimatedLoss(quantile=0.5)),
            (2.0, SparseChange()),
            (2.0, PerceptualDistance()),
            (20.0, CompactChange()),
            (600.0, SameColour()),
        ),
        steps=60,
        learning_rate=2.5e-3,
        stop=TargetReached(confidence=0.97, patience=10),
        views=Views(),
        averaged=0.25,
        continuation=Continuation(steps=160),
        cooldown=0.3,
    ),
    line_search=LineSearch(),
    salient=0.9,
    searches=2,
)
"""The default: a pretrained prior that sees the query, and the mean change of two searches through different views.

Only the salient region changes. Target and estimated loss are averaged over random views, texture and colours are
preserved, and a line search keeps the smallest share of the change that retains nearly all of the target's probability.
A search that has not changed the prediction at its end goes on with a growing target weight.
"""

FAST = replace(
    NATURAL,
    name="fast",
    edit=replace(NATURAL.edit, steps=40, learning_rate=3e-3, cooldown=0.5),
    searches=1,
)
"""The default with one short search: changes are larger, and vary more from seed to seed."""

WITHOUT_ESTIMATOR = replace(
    NATURAL,
    name="without-estimator",
    edit=replace(NATURAL.edit, objective=NATURAL.edit.objective.without(EstimatedLoss)),
)
"""The default for a classifier that has no loss estimator."""

DISC = replace(
    REGULARISED_DIP,
    name="disc",
    generator=FourierNetwork(),
    anchor=replace(_ANCHOR, learning_rate=3e-3),
    edit=replace(REGULARISED_DIP.edit, learning_rate=1e-4, unlock=0.5),
)
"""An implicit network as the prior, with the estimated loss, unlocked layer by layer (Thiagarajan et al. 2021).

The paper's schedule is not published: weights, rates and the order, from the coordinates on, are ours.
"""

METHODS = {m.name: m for m in (NATURAL, FAST, WITHOUT_ESTIMATOR, REGULARISED_DIP, DIP, DISC, TV, PIXELS)}

DIP_INVERSION = Method(
    name="dip",
    generator=HOURGLASS,
    edit=Stage(total((1.0, SameFeatures())), steps=600, learning_rate=1e-2),
    transfer="never",
)
"""Pre-images from latent encodings by the prior alone (Ulyanov et al. 2018, section 3)."""

TV_INVERSION = Method(
    name="tv",
    generator=Pixels(start="noise"),
    edit=Stage(total((1.0, SameFeatures()), (3.0, TotalVariation())), steps=600, learning_rate=5e-2),
    transfer="never",
)
"""Pre-images by total variation (Mahendran and Vedaldi 2015, ported to Adam and mean energies)."""

INVERSIONS = {m.name: m for m in (DIP_INVERSION, TV_INVERSION)}


def at_confidence(method: Method, confidence: float) -> Method:
    """The same method with a target probability to reach, averaged over views where it has some.

    The edit goes a little beyond it, and the line search returns the smallest share of the change that reaches it.

    Raises:
        ValueError: the confidence is not between 0 and 1.

    Example:
        >>> at_confidence(NATURAL, 0.6).line_search.confidence
        0.6
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is a probability between 0 and 1, got {confidence}")
    beyond = (2 * confidence + 1) / 3
    parts = tuple(
        replace(part, term=TargetClass(beyond)) if isinstance(part.term, TargetClass) else part
        for part in method.edit.objective.parts
    )
    stop = method.edit.stop
    stop = replace(stop, confidence=(confidence + beyond) / 2) if isinstance(stop, TargetReached) else stop
    continuation = None if method.edit.continuation is None else replace(method.edit.continuation, until=1.0)
    single = replace(method.edit, averaged=0.0, continuation=continuation)  # a mean lags behind
    edit = replace(single, objective=Objective(parts), stop=stop)
    return replace(method, edit=edit, line_search=replace(method.line_search or LineSearch(), confidence=confidence))


def with_prior(method: Method, weights: str) -> Method:
    """The same method with pretrained weights of the user's own, see `Pretrained.weights`.

    Raises:
        ValueError: the method's generator is not pretrained.

    Example:
        >>> with_prior(NATURAL, "radiographs.safetensors").generator.generator.weights
        'radiographs.safetensors'
    """
    coarse = method.generator
    if not (isinstance(coarse, Coarse) and isinstance(coarse.generator, Pretrained)):
        raise ValueError(f"the method {method.name} has no pretrained prior: use natural or fast")
    return replace(method, generator=replace(coarse, generator=replace(coarse.generator, weights=weights)))


def load_method(name: str, prior: str | None = None) -> Method:
    """A method of `METHODS` by name, or one of the user's own by module:NAME; see `with_prior` for `prior`.

    Raises:
        ValueError: there is no such method.
    """
    if prior is not None:
        return with_prior(load_method(name), prior)
    if name in METHODS:
        return METHODS[name]
    if ":" not in name:
        raise ValueError(f"there is no method {name}: use {', '.join(METHODS)}, or module:NAME")
    method = load_object(name)
    if not isinstance(method, Method):
        raise ValueError(f"{name} is {type(method).__name__}, not a cfexplain.Method")
    return method
