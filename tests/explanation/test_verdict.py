"""A verdict needs evidence: another mind, survival, and a change that is no grain."""

from dataclasses import replace

import pytest
import torch

import cfexplain
from cfexplain import PIXELS, TV, explain
from cfexplain.explanation.verdict import Kind, judge
from cfexplain.images import round8
from cfexplain.types import Prediction
from toys import Toy, pale_images


class Grain(Toy):
    """Red only where neighbouring pixels differ: nothing that survives a blur."""

    def forward(self, images):
        seen = super().forward(images)
        fine = (images[..., 1:] - images[..., :-1]).abs().mean((1, 2, 3))
        return Prediction(torch.stack([0.05 - fine, fine - 0.05], 1) * 100, seen.features, seen.loss)


class Stubborn(Toy):
    """Never changes its mind."""

    def forward(self, images):
        seen = super().forward(images)
        return Prediction(torch.tensor([[1.0, 0.0]]).repeat(len(images), 1), seen.features, seen.loss)


@pytest.fixture(scope="module")
def red():
    return explain(Toy(), pale_images(2), "red", method=TV)


def test_a_change_that_others_see_and_that_survives_is_semantic(red):
    for one in red:
        verdict = judge(one, Toy(), {"other": Toy(seed=3)})
        assert verdict.kind is Kind.SEMANTIC
        assert verdict.oracle_agreement == 1
        assert verdict.robustness["together"]


def test_a_robust_flip_is_unconfirmed_without_an_oracle_and_fragile_where_oracles_disagree(red):
    assert judge(red[0], Toy()).kind is Kind.UNCONFIRMED
    assert judge(red[0], Toy()).oracle_agreement is None
    seen = judge(red[0], Toy(), {"stubborn": Stubborn()})
    assert (seen.kind, seen.oracle_agreement) == (Kind.FRAGILE, 0.0)
    half = judge(red[0], Toy(), {"stubborn": Stubborn(), "other": Toy(seed=3)})
    assert (half.kind, half.oracle_agreement) == (Kind.SEMANTIC, 0.5)


def test_grain_is_adversarial_whoever_believes_it():
    found = explain(Grain(), pale_images(1), "red", method=PIXELS)
    assert found.found == (True,)
    verdict = judge(found, Grain(), {"stubborn": Stubborn()})
    assert verdict.kind is Kind.ADVERSARIAL
    assert verdict.high_frequency_share > 0.2


def test_no_flip_no_verdict(red):
    still = replace(red, image=round8(red.query), status=(type(red.status[0])("not_found"),) * 2)
    assert judge(still[0], Toy()).kind is Kind.NONE


def test_naturalness_is_a_percentile_that_grows_with_the_estimated_loss(red):
    class Scaled(Toy):
        def usual_loss(self, index, share=0.5):
            return {0.05: -2.0, 0.25: -1.0, 0.5: 0.0, 0.75: 1.0, 0.95: 2.0}[share]

    seen = []
    for loss in (-9.0, -0.5, 0.0, 0.5, 9.0):
        shifted = replace(red, after=replace(red.after, loss=torch.full((2,), loss)))
        seen.append(judge(shifted[0], Scaled()).naturalness)
    assert seen == pytest.approx([5.0, 37.5, 50.0, 62.5, 95.0])


def test_what_is_not_known_is_none(red):
    """An oracle without the class asked for has no gain; an estimator without percentiles no naturalness."""

    class Other(Toy):
        classes = ("pale", "blue")

    class Unmeasured(Toy):
        def usual_loss(self, index, share=0.5):
            raise ValueError("never measured")

    verdict = judge(red[0], Unmeasured(), {"other": Other()})
    assert (verdict.oracles["other"].counted, verdict.oracles["other"].gain) == (False, None)
    assert verdict.naturalness is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_verdict_on_a_classifier_of_another_precision(dtype):
    classifier = Toy().to(dtype)
    found = explain(classifier, pale_images(1).to(dtype), "red", method=PIXELS)
    verdict = judge(found, classifier, {"oracle": Toy(1), "double": Toy(2).double()})
    assert set(verdict.oracles) == {"oracle", "double"}
    assert cfexplain.attribute(classifier, found.query, 0, "smoothgrad").isfinite().all()
