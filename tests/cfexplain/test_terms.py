"""Every term keeps the same promises; new files in the package are found by themselves."""

import pkgutil
from dataclasses import dataclass, is_dataclass
from importlib import import_module

import pytest
import torch

import cfexplain.terms as package
from cfexplain.method.objective import WeightedTerm, geometric, ramp, total
from cfexplain.terms import (
    CompactChange,
    EstimatedLoss,
    KnownPixels,
    PerceptualDistance,
    SameColour,
    SameFeatures,
    SamePixels,
    SparseChange,
    TargetClass,
    TotalVariation,
)
from cfexplain.types import Candidate, Prediction, Problem
from toys import Toy, pale_images


def discovered():
    for module in pkgutil.iter_modules(package.__path__):
        for value in vars(import_module(f"{package.__name__}.{module.name}")).values():
            own = getattr(value, "__module__", "") == f"{package.__name__}.{module.name}"
            if own and isinstance(value, type) and is_dataclass(value) and callable(value):
                yield value()


TERMS = [
    *discovered(),
    TargetClass(confidence=0.9),
    EstimatedLoss(quantile=0.5),
    SameFeatures(layers=(1,)),
    TotalVariation(power=1),
]
TOY = Toy().double()


def candidate(image, seed=0):
    query = pale_images(len(image), seed=seed).double()
    problem = Problem(query, TOY, TOY(query).detach(), torch.ones(len(image), dtype=torch.long), None)
    return Candidate(image, problem, TOY(image), query + 0.01)


def promise(term):
    """The contract: one finite value an image, order does not matter, gradients are right, descent lowers it."""
    rng = torch.Generator().manual_seed(1)
    image = (pale_images(3) + 0.15 * torch.rand(3, 3, 32, 32, generator=rng)).clamp(0.01, 0.99).double()
    value = term(candidate(image))
    assert value.shape == (3,)
    assert bool(value.isfinite().all())
    flipped = term(
        Candidate(
            image.flip(0), _reversed(candidate(image).problem), TOY(image.flip(0)), candidate(image).anchor.flip(0)
        )
    )
    torch.testing.assert_close(flipped, value.flip(0))
    moving = image.clone().requires_grad_()
    before = term(candidate(moving)).sum()
    for _ in range(3):
        (gradient,) = torch.autograd.grad(term(candidate(moving)).sum(), moving)
        if float(gradient.abs().max()) == 0:
            return
        step = 1e-3 * gradient / gradient.abs().max()
        moving = (moving - step).detach().requires_grad_()
    assert float(term(candidate(moving)).sum().detach()) < float(before.detach())


def _reversed(problem):
    source = TOY(problem.query.flip(0)).detach()
    return Problem(problem.query.flip(0), problem.classifier, source, problem.target.flip(0), None)


@pytest.mark.parametrize("term", TERMS, ids=repr)
def test_contract(term):
    promise(term)


@pytest.mark.parametrize("term", TERMS, ids=repr)
def test_gradients_are_right(term):
    rng = torch.Generator().manual_seed(2)
    image = (pale_images(1) + 0.15 * torch.rand(1, 3, 32, 32, generator=rng)).clamp(0.01, 0.99).double()
    direction = torch.randn(image.shape, generator=rng).double()
    direction /= direction.norm()
    moving = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(term(candidate(moving)).sum(), moving, allow_unused=True)
    h = 1e-6
    numeric = (term(candidate(image + h * direction)) - term(candidate(image - h * direction))).sum() / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-4, atol=1e-7)


@dataclass(frozen=True)
class Larger:
    """Wrong on purpose: larger is better."""

    def __call__(self, seen):
        return -(seen.image - seen.problem.query).square().flatten(1).mean(1).detach() + 0 * seen.image.flatten(1).sum(
            1
        )


def test_a_broken_term_is_not_lowered_by_descent():
    image = (pale_images(2) + 0.1).double().requires_grad_()
    (gradient,) = torch.autograd.grad(Larger()(candidate(image)).sum(), image)
    assert float(gradient.abs().max()) == 0


def test_values_by_hand():
    zero, one = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    seen = Candidate(one, Problem(zero), None, 0.5 * one)
    assert float(SamePixels()(seen)) == 1
    assert float(SamePixels(to="anchor")(seen)) == 0.25
    assert float(SparseChange()(seen)) == 0.5
    assert float(SameColour()(seen)) == 0
    red = torch.zeros(1, 3, 2, 2)
    red[:, 0] = 0.3
    assert float(SameColour()(Candidate(red, Problem(zero), None, zero))) == pytest.approx((0.04 + 0.01 + 0.01) / 3)
    corner = torch.zeros(1, 3, 4, 4)
    corner[..., :2, :2] = 0.5  # an outline of 4 pixel sides, 0.5 high, over 16 pixels
    assert float(CompactChange()(Candidate(corner, Problem(zero), None, torch.zeros_like(corner)))) == 0.5 * 4 / 16
    step = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).expand(1, 3, 2, 2)
    assert float(TotalVariation()(Candidate(step, Problem(zero)))) == 0.5
    region = torch.tensor([[1.0, 0.0], [1.0, 0.0]])[None, None]
    assert float(KnownPixels()(Candidate(step, Problem(zero, region=region)))) == 1
    assert float(KnownPixels()(Candidate(1 - step, Problem(zero, region=region)))) == 0


def test_same_features_of_the_same_image_is_zero():
    image = pale_images(2).double()
    assert float(SameFeatures()(candidate(image)).detach().abs().max()) == 0


def test_hinges_stop_at_their_goal():
    image = pale_images(1).double()
    image[:, 0] = 0.95
    assert float(TargetClass(confidence=0.9)(candidate(image))) == 0
    assert float(TargetClass()(candidate(image))) > 0


@pytest.mark.parametrize("term", [TargetClass(), SameFeatures(), EstimatedLoss()])
def test_terms_that_need_a_classifier_say_so(term):
    with pytest.raises(ValueError, match="classifier"):
        term(Candidate(torch.zeros(1, 3, 4, 4), Problem(torch.zeros(1, 3, 4, 4))))


def test_unknown_layers_are_named():
    with pytest.raises(ValueError, match="2 taps"):
        SameFeatures(layers=(5,))(candidate(pale_images(1).double()))


def test_objectives_add_up():
    seen = Candidate(torch.ones(1, 3, 2, 2), Problem(torch.zeros(1, 3, 2, 2)), progress=0.5)
    assert float(total((2.0, SamePixels()), (ramp(0, 4), SamePixels()))(seen)) == 4
    later = Candidate(torch.ones(1, 3, 2, 2), Problem(torch.zeros(1, 3, 2, 2)), progress=2.0)
    insisting = total((geometric(1.0, factor=3.0), SamePixels()))
    assert [float(insisting(c)) for c in (seen, later)] == [1, 3], "in further steps it weighs more"
    both = total((1.0, SamePixels())) | total((1.0, TotalVariation()))
    assert len(both.parts) == 2
    assert len(both.without(TotalVariation).parts) == 1
    every = total((1.0, SamePixels(), 3))
    assert [float(every(seen, step)) for step in range(4)] == [1, 0, 0, 1]
    assert total((1.0, TargetClass(), 3)).uses_classifier(3)
    assert not total((1.0, TargetClass(), 3)).uses_classifier(4)


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="negative"):
        total((geometric(-1.0, factor=3.0), SamePixels()))
    with pytest.raises(ValueError, match="negative"):
        WeightedTerm(-1.0, SamePixels())


def test_perceptual_distance_sees_which_features_a_place_has_and_not_their_strength():
    query = torch.zeros(1, 3, 2, 2)
    maps = torch.zeros(1, 2, 4, 4)
    maps[:, 0] = 3.0
    other, silent = maps.flip(1), maps.clone()
    silent[..., 0, 0] = 0

    def distance(shallow, deep, seen=maps):
        source = Prediction(torch.zeros(1, 2), (seen, seen), None)
        found = Prediction(torch.zeros(1, 2), (shallow, deep), None)
        return float(PerceptualDistance()(Candidate(query, Problem(query, None, source), found, query)))

    assert distance(2 * maps, other) < 1e-4, "stronger is the same; the deep half does not count"
    assert distance(other, maps) == pytest.approx(2 / 1.01), "other features everywhere"
    assert distance(1e-3 * maps + silent, maps, silent) < 1e-3, "a whisper where there was nothing is no feature"
    tokens = maps.flatten(2).transpose(1, 2)
    assert distance(tokens.flip(2), tokens, tokens) == pytest.approx(2 / 1.01)
    none = Prediction(torch.zeros(1, 2), (), None)
    with pytest.raises(ValueError, match="no taps"):
        PerceptualDistance()(Candidate(query, Problem(query, None, none), none, query))
