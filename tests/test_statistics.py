"""Bootstrap intervals cover the truth and count groups, not values."""

import math

import numpy as np
import pytest

from cfexplain.statistics import bootstrap, bootstrap_difference, bootstrap_mean, calibration_error, spearman


def test_intervals_of_a_mean_cover_the_truth():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        interval = bootstrap_mean(rng.normal(0.3, 1, 60))
        covered += interval.low <= 0.3 <= interval.high
    assert 85 <= covered <= 100
    shares = [bootstrap_mean((rng.random(20) < 0.95).astype(float)) for _ in range(100)]
    assert sum(i.low <= 0.95 <= i.high for i in shares) >= 93


def test_several_values_of_one_group_count_as_one():
    values = np.repeat(np.random.default_rng(1).normal(0, 1, 20), 10)
    of_groups, of_values = bootstrap_mean(values, np.repeat(range(20), 10)), bootstrap_mean(values)
    assert of_groups.high - of_groups.low > 2 * (of_values.high - of_values.low)
    gap = bootstrap_difference(values[:100], values[100:] + 5, np.arange(100), np.arange(100, 200))
    assert gap.high < -3


def test_many_groups_have_the_limit_of_the_bootstrap():
    values = np.random.default_rng(1).normal(0, 1, 2500)
    interval = bootstrap_mean(values)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 50, rel=0.05)
    fewer = bootstrap_mean(values[:1900])
    assert fewer.high - fewer.low == pytest.approx(2 * 1.96 / math.sqrt(1900), rel=0.1)


def test_what_is_not_known_is_left_out():
    assert bootstrap_mean([1.0, math.nan, 1.0]).n == 2
    assert bootstrap_mean([math.nan]).n == 0
    assert math.isnan(bootstrap_difference([1.0], [math.nan], ["a"], ["b"]).mean)


def test_any_statistic_has_an_interval_over_groups():
    values = np.repeat(np.random.default_rng(1).normal(0, 1, 20), 10)
    of_groups = bootstrap(lambda drawn: float(np.median(values[drawn])), np.repeat(range(20), 10))
    of_values = bootstrap(lambda drawn: float(np.median(values[drawn])), range(200))
    assert of_groups.mean == of_values.mean == np.median(values)
    assert of_groups.high - of_groups.low > 1.5 * (of_values.high - of_values.low)
    assert math.isnan(bootstrap(lambda drawn: math.nan, range(5)).mean)


def test_rank_correlation_leaves_out_unknown_pairs_and_knows_no_constant():
    assert spearman([1, 2, 3, math.nan], [1, 4, 9, -5]) == pytest.approx(1)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_a_classifier_that_is_too_sure_has_a_calibration_error():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 2000)
    right = rng.random(2000) < p
    assert calibration_error(p, right) < 0.03
    assert calibration_error(np.full(2000, 0.99), right) == pytest.approx(0.24, abs=0.03)
