"""When a search stops, and which of its steps is kept."""

import pytest
import torch

from cfexplain.method.stop import CloseEnough, Step, TargetReached, psnr
from cfexplain.types import Prediction, Problem

PROBLEM = Problem(torch.zeros(1, 3, 2, 2), target=torch.tensor([1]))


def step(probability, value=1.0, index=0, image=None):
    logits = torch.tensor([[1 - probability, probability]]).log()
    image = torch.zeros(1, 3, 2, 2) if image is None else image
    return Step(index, image, Prediction(logits), torch.tensor([value]))


def test_the_target_must_be_reached_as_often_as_asked():
    watch = TargetReached(0.8, patience=3).start(PROBLEM)
    assert [watch(step(p)) for p in (0.9, 0.5, 0.85, 0.7, 0.81)] == [False, False, False, False, True]


def test_of_the_steps_that_reach_it_the_smallest_change_is_best():
    rule = TargetReached(0.8)
    far, near, sure = step(0.3), step(0.7), step(0.9, value=5.0)
    small = step(0.85, value=0.1)
    scores = [rule.better(s, PROBLEM) for s in (far, near, sure, small)]
    assert scores == sorted(scores)
    assert scores[:2] == pytest.approx([0.3 / 2, (0.7 + 1) / 2]), "what flips comes before what is only likelier"
    assert scores[2] > 1


def test_close_enough_waits_for_its_least_steps():
    watch = CloseEnough(psnr=30, patience=1, least=5).start(PROBLEM)
    assert [watch(step(0.5, index=i)) for i in range(6)] == [False] * 4 + [True] * 2
    far = torch.full((1, 3, 2, 2), 0.5)
    assert not CloseEnough(psnr=30, patience=1).start(PROBLEM)(step(0.5, image=far))
    assert psnr(far, PROBLEM.query) == pytest.approx(6.0206, abs=1e-3)
