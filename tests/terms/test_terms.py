"""Every term keeps the same promises; new files in the package are found by themselves."""

from dataclasses import dataclass

import pytest
import torch

import cfexplain.terms as package
from cfexplain.method.objective import Geometric, Ramp, WeightedTerm, total
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
    Unlike,
)
from cfexplain.types import Candidate, Prediction, Problem
from contracts import candidate, check_term, classes_in, probe
from toys import pale_images

TERMS = [
    *(Unlike((probe(1, seed=5),)) if kind is Unlike else kind() for kind in classes_in(package, "__call__")),
    TargetClass(confidence=0.9),
    EstimatedLoss(quantile=0.5),
    SameFeatures(layers=(1,)),
    TotalVariation(power=1),
]


@pytest.mark.parametrize("term", TERMS, ids=lambda t: type(t).__name__)
def test_contract(term):
    check_term(term)


@dataclass(frozen=True)
class Larger:
    """Larger is better."""

    def __call__(self, seen):
        return -(seen.image - seen.problem.query).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Zero:
    """Nothing ever costs anything."""

    def __call__(self, seen):
        return 0 * seen.image.flatten(1).sum(1)


@dataclass(frozen=True)
class Uphill:
    """Its gradient points the wrong way."""

    def __call__(self, seen):
        value = (seen.image - seen.problem.query).square().flatten(1).mean(1)
        return 2 * value.detach() - value


@dataclass(frozen=True)
class Coupled:
    """An image's value depends on its neighbours."""

    def __call__(self, seen):
        value = (seen.image - seen.problem.query).square().flatten(1).mean(1)
        return value * torch.arange(1, len(value) + 1)


@dataclass(frozen=True)
class Total:
    """One value for the batch."""

    def __call__(self, seen):
        return (seen.image - seen.problem.query).square().mean()


@pytest.mark.parametrize("broken", [Larger(), Zero(), Uphill(), Coupled(), Total()], ids=lambda t: type(t).__name__)
def test_a_broken_term_is_refused(broken):
    with pytest.raises(AssertionError):
        check_term(broken)


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
    assert float(total((2.0, SamePixels()), (Ramp(0, 4), SamePixels()))(seen)) == 4
    later = Candidate(torch.ones(1, 3, 2, 2), Problem(torch.zeros(1, 3, 2, 2)), progress=2.0)
    insisting = total((Geometric(1.0, factor=3.0), SamePixels()))
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
        total((Geometric(-1.0, factor=3.0), SamePixels()))
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


def test_a_change_that_is_rounding_pulls_nowhere_before_anything_has_moved():
    query = pale_images(1).double()
    image = (query + 1e-9 * torch.randn(query.shape).double()).requires_grad_()
    value = SparseChange(to="query")(Candidate(image, Problem(query)))
    assert float(value.detach()) == 0
    assert not bool(torch.autograd.grad(value.sum(), image)[0].any())
