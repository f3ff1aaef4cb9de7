"""Rules: pass, warn or fail, by value, interval and significance."""

import numpy as np
import pandas as pd
import pytest

from cfexplain.audit.rule import Rule, worst_gap
from cfexplain.audit.sections.gaps import gaps


def frame(n, **columns):
    ids = [str(i) for i in range(n)]
    return pd.DataFrame({"image_id": ids, "lesion_id": ids, "classifier": "c", "status": "found"} | columns)


def test_rules_pass_warn_and_fail():
    rows = frame(40, status=["found"] * 36 + ["not_found"] * 4)
    assert Rule.parse("found<0.92").check(rows, "c").outcome == "fail"
    assert Rule.parse("found<0.85").check(rows, "c").outcome == "warn"
    assert Rule.parse("found<0.5").check(rows, "c").outcome == "pass"
    assert Rule.parse("found<0.95").check(rows.iloc[:8], "c").outcome == "warn"
    assert Rule.parse("oracle_agreement<0.5").check(rows, "c").outcome == "warn"


@pytest.mark.parametrize("text", ["found", "found=1", "beauty<0.5", "found<much", ""])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a rule|no measure"):
        Rule.parse(text)


def test_a_metric_can_be_in_a_rule_without_being_listed():
    rows = frame(20, **{"metric.largest_change": np.linspace(0.2, 0.4, 20)})
    assert Rule.parse("largest_change>0.2").check(rows, "c").outcome == "fail"
    assert Rule.parse("largest_change>0.9").check(rows, "c").outcome == "pass"


def test_the_worst_group_is_found():
    meta = {"meta.sex": ["female", "male"] * 40, "meta.site": ["arm"] * 20 + ["back"] * 60}
    rows = frame(80, label="a", source=["b"] * 15 + ["a"] * 65, **meta)
    worst = gaps(rows, ("accuracy",))[0]
    assert worst["group"] == "site: arm"
    assert worst["mean"] == pytest.approx(0.25 - 1)
    check = Rule.parse("worst_group_gap>0.2").check(rows, "c")
    assert check.outcome == "fail"
    assert "arm" in check.note


def test_the_worst_of_many_groups_by_chance_is_no_failure():
    rng, fails = np.random.default_rng(0), 0
    for _ in range(8):
        rows = frame(200, label=rng.choice(["a", "b"], 200))
        rows["source"] = np.where(rng.random(200) < 0.75, rows["label"], "c")
        for k in range(4):
            rows[f"meta.k{k}"] = rng.choice(list("uvwxyz"), 200)
        fails += Rule.parse("worst_group_gap>0.15").check(rows, "c").outcome == "fail"
    assert fails <= 1


def test_a_large_significant_gap_is_not_hidden_behind_a_small_groups_larger_one():
    """Of two gaps beyond the bound the smaller is significant; the larger is a dozen images' and is not."""
    small = {"measure": "found", "group": "site: scalp", "n": 12, "mean": -0.30, "low": -0.62, "high": 0.02}
    large = {"measure": "found", "group": "site: trunk", "n": 400, "mean": -0.24, "low": -0.30, "high": -0.19}
    gap, note, significant = worst_gap([small, large], lambda value: value > 0.2)
    assert (round(gap.mean, 2), significant) == (0.24, True)
    assert "trunk" in note
    gap, note, significant = worst_gap([small, large], lambda value: value > 0.25)
    assert (round(gap.mean, 2), significant) == (0.30, False), "without a significant one that breaks the rule"


def test_the_artefact_with_the_strongest_effect_is_checked():
    excess = {"excess.ink": [0.4] * 15 + [np.nan] * 15, "excess.hair": 0.05}
    rows = frame(30, **{"artefact.ink": 0.02, "artefact.hair": 0.05} | excess)
    check = Rule.parse("artefact_effect>0.1").check(rows, "c")
    assert (check.outcome, check.note, check.value) == ("fail", "c, ink", pytest.approx(0.2))
    assert Rule.parse("artefact_effect>0.1").check(frame(30), "c").outcome == "warn"
