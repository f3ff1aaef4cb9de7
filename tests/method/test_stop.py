"""When a descent stops, and which of its iterates is kept."""

import pytest
import torch

from cfexplain.method.stop import CloseEnough, Step, StepMetrics, StopRule, TargetReached, decibels, psnr, target_score
from cfexplain.types import Prediction, Problem

PROBLEM = Problem(torch.zeros(1, 3, 2, 2), target=torch.tensor([1]))


def metrics(probability, objective=1.0, error=None):
    return StepMetrics(objective, error, probability, None, probability > 0.5)


def step(found, index=0):
    return Step(index, torch.zeros(1, 3, 2, 2), None, torch.zeros(1), None, (found,))


def test_the_target_must_be_reached_as_often_as_asked():
    monitor = TargetReached(0.8, patience=3).start(PROBLEM)
    assert [monitor(step(metrics(p))) for p in (0.9, 0.5, 0.85, 0.7, 0.81)] == [False, False, False, False, True]


def test_of_the_iterates_that_reach_it_the_smallest_objective_is_best():
    rule = TargetReached(0.8)
    scores = [rule.score(m) for m in (metrics(0.3), metrics(0.7), metrics(0.9, 5.0), metrics(0.85, 0.1))]
    assert scores == sorted(scores)
    assert scores[:2] == pytest.approx([0.3 / 2, (0.7 + 1) / 2]), "a flip comes before a higher probability without one"
    assert scores[2] > 1
    assert StopRule().score(metrics(0.9)) == target_score(metrics(0.9), 1.0) < 1


@pytest.mark.parametrize(("probability", "stops"), [(0.4, False), (0.6, True)])
def test_a_small_confidence_still_asks_for_the_flip(probability, stops):
    """Of two classes one at 0.4 is beyond a confidence of 0.3, but is not predicted."""
    rule = TargetReached(0.3, patience=1)
    assert rule.start(PROBLEM)(step(metrics(probability))) is stops
    assert (rule.score(metrics(probability)) > 1) is stops


def test_close_enough_waits_for_its_least_steps_and_for_consecutive_ones():
    monitor = CloseEnough(psnr=30, patience=1, least=5).start(PROBLEM)
    assert [monitor(step(metrics(0.5, error=0.0), i)) for i in range(6)] == [False] * 4 + [True] * 2
    monitor = CloseEnough(psnr=30, patience=2).start(PROBLEM)
    assert [monitor(step(metrics(0.5, error=e), i)) for i, e in enumerate((1e-4, 1.0, 1e-4, 1e-4))] == [
        False, False, False, True,
    ]  # fmt: skip
    assert not CloseEnough(psnr=30, patience=1).start(PROBLEM)(step(metrics(0.5, error=None)))


def test_a_reconstruction_far_from_the_query_has_failed():
    query = torch.zeros(1, 3, 2, 2)
    assert CloseEnough(psnr=32).failed(query + 0.1, query)  # 20 dB
    assert not CloseEnough(psnr=32).failed(query + 0.04, query)  # 28 dB
    assert not StopRule().failed(query + 1, query)


def test_decibels_by_hand():
    assert psnr(torch.full((1, 3, 2, 2), 0.5), PROBLEM.query) == pytest.approx(6.0206, abs=1e-3)
    assert decibels(0.0) == float("inf")
    assert decibels(0.1) == pytest.approx(10)


def test_a_history_holds_what_is_known():
    assert StepMetrics(2.0, 0.1).row() == {"objective": 2.0}
    assert StepMetrics(2.0, 0.1, 0.4, -1.0, False).row() == {
        "objective": 2.0, "target_probability": 0.4, "estimated_loss": -1.0,
    }  # fmt: skip


def test_one_image_of_a_batch_is_sliced_without_a_copy():
    rng = torch.Generator().manual_seed(0)
    images, logits, seen, loss = (torch.rand(s, generator=rng) for s in ((3, 3, 4, 4), (3, 2), (6, 2), (3,)))
    found = tuple(metrics(p) for p in (0.1, 0.6, 0.9))
    whole = Step(7, images, Prediction(logits, (images,), loss), loss, Prediction(seen), found)
    part = whole.at(1)
    torch.testing.assert_close(part.image, images[1:2])
    torch.testing.assert_close(part.views.logits, seen[[1, 4]])
    assert part.prediction.features == ()
    assert part.metrics == found[1:2]
    assert part.image.untyped_storage().data_ptr() == images.untyped_storage().data_ptr()
    assert part.copy().image.untyped_storage().nbytes() == 4 * 3 * 16
