"""Measures by name: all metrics are, and statistics of labelled images are calibrated against chance."""

import numpy as np
import pandas as pd
import pytest

from cfexplain import METRICS
from cfexplain.audit.measure import STATISTICS, VALUES, measure


def frame(status, **columns):
    ids = [str(i) for i in range(len(status))]
    return pd.DataFrame({"image_id": ids, "lesion_id": ids, "classifier": "c", "status": status} | columns)


def test_every_metric_is_a_measure_over_the_found_rows():
    assert "largest_change" in METRICS
    assert "largest_change" not in VALUES
    rows = frame(["found", "found", "not_found"], **{"metric.largest_change": [0.2, 0.4, 9.0]})
    found = measure(rows, "largest_change")
    assert (found.n, found.mean) == (2, pytest.approx(0.3))


def test_failures_count_as_not_found_and_images_of_the_target_class_do_not_count():
    rows = frame(["found", "failed", "not_found", "already_target"])
    assert (measure(rows, "found").n, measure(rows, "found").mean) == (3, pytest.approx(1 / 3))
    assert measure(rows, "failed").mean == 0.25


def test_a_calibrated_classifier_has_next_to_no_calibration_error():
    rng, errors = np.random.default_rng(0), []
    for _ in range(20):
        p = rng.uniform(0.5, 1, 300)
        rows = pd.DataFrame({"confidence": p, "right": (rng.random(300) < p).astype(float)})
        errors.append(STATISTICS["calibration_error"](rows))
    assert np.mean(errors) < 0.03
    rows["confidence"] = 0.99
    assert STATISTICS["calibration_error"](rows) > 0.15
