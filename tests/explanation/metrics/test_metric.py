"""Every metric keeps the same promises; new files in the package are found by themselves."""

import pytest

from cfexplain.explanation.metrics import METRICS, Metric, evaluate
from contracts import check_metric, random_edit


@pytest.mark.parametrize("name", METRICS)
def test_contract(name):
    check_metric(METRICS[name])


BROKEN = {
    "coupled": lambda e: e.painted.flatten(1).mean(1) - e.painted.mean(),
    "one for all": lambda e: e.painted.mean(),
    "undefined without a change": lambda e: 1 / (e.painted - e.anchor).abs().flatten(1).sum(1),
    "undefined": lambda e: e.painted.flatten(1).mean(1) * float("nan"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_metric_is_refused(name):
    with pytest.raises(AssertionError):
        check_metric(Metric(name, "lower", "intensity", BROKEN[name]))


@pytest.mark.parametrize("about", [("upwards", "intensity"), ("lower", "")])
def test_a_metric_needs_a_direction_and_a_unit(about):
    with pytest.raises(AssertionError):
        check_metric(Metric("mean", *about, lambda e: e.painted.flatten(1).mean(1)))


def test_what_does_not_apply_is_missing_in_the_table():
    table = evaluate(random_edit(mask=False))
    assert table["inside_lesion"].isna().all()
    assert table["mean_change"].notna().all()
    assert len(table) == 3
