"""Schedules of weights over a stage and its continuation."""

import pytest

from cfexplain.method.objective import Geometric, total
from cfexplain.method.stage import Continuation, Stage
from cfexplain.terms import SamePixels


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_rising_weight_grows_by_its_factor_however_few_the_first_steps(steps):
    stage = Stage(total((Geometric(2.0, factor=16.0), SamePixels())), steps, 1e-3, continuation=Continuation(40))
    weights = [stage.objective.parts[0].at(stage.progress(k)) for k in range(stage.most)]
    assert weights[:steps] == [2.0] * steps
    assert weights == sorted(weights)
    assert weights[-1] == pytest.approx(32.0)


def test_a_factor_that_shrinks_is_refused():
    with pytest.raises(ValueError, match="1 or more"):
        Geometric(1.0, factor=-4.0)
