"""The audit of a real classifier on drawn lesions: rows, cases, failures, refused input, the summary."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import cfexplain
from cfexplain.audit import Audit, audit
from cfexplain.explanation.folder import load
from cfexplain.method.presets import PIXELS
from cfexplain.search.explain import explain


class Changed:
    """The lesions, with samples changed or an error instead."""

    def __init__(self, lesions, change):
        self.lesions, self.table, self.change = lesions, lesions.table, change

    def __len__(self):
        return len(self.lesions)

    def __getitem__(self, index):
        return self.change(index, self.lesions[index])


def damaged(index, lesion):
    """One image cannot be read, and one is not a number."""
    if index == 1:
        raise OSError("the disk is gone")
    return replace(lesion, image=lesion.image * float("nan")) if index == 2 else lesion


def gone(index, lesion):
    raise OSError("the disk is gone")


def test_each_image_has_a_row_and_each_row_a_case(finished, lesions):
    rows = finished.rows
    assert list(rows["image_id"]) == sorted(lesions.table.index)
    assert rows["status"].eq("found").mean() > 0.5
    assert {path.name for path in (finished.folder / "cases").iterdir()} == set(rows["case"])


def test_a_case_holds_the_exact_counterfactual_of_its_row(finished):
    row = finished.rows.iloc[0]
    stored = load(finished.folder / "cases" / row["case"]).edit
    assert stored.status[0].value == row["status"]
    assert float(stored.difference.abs().mean()) == pytest.approx(row["metric.mean_change"], rel=1e-4)
    names = {path.name for path in (finished.folder / "cases" / row["case"]).iterdir()}
    assert {"query.png", "counterfactual.png", "change.png", "result.json", "tensors.safetensors"} <= names


def test_rows_equal_what_explain_finds(finished, classifier, lesions):
    row = finished.rows.iloc[3]
    index = list(lesions.table.index).index(row["image_id"])
    alone = explain(classifier, lesions[index].image[None], method=PIXELS)
    assert alone.status[0].value == row["status"]
    assert float(alone.difference.abs().mean()) == pytest.approx(row["metric.mean_change"], rel=1e-4)


def test_a_second_run_explains_nothing_again(finished, classifier, lesions):
    before, counts = (finished.folder / "rows" / "rows.jsonl").read_bytes(), []
    progress = lambda done, total: counts.append((done, total))  # noqa: E731
    audit({"synthetic": classifier}, lesions, finished.folder, method=PIXELS, progress=progress)
    assert counts == [(8, 8)]
    assert (finished.folder / "rows" / "rows.jsonl").read_bytes() == before


def test_a_failed_image_is_a_row(classifier, lesions, tmp_path):
    done = audit(classifier, Changed(lesions, damaged), tmp_path, method=PIXELS)
    rows = done.rows.set_index("image_id")
    first, second = lesions.table.index[1], lesions.table.index[2]
    assert rows.loc[first, "error"] == "OSError: the disk is gone"
    assert "infinite or undefined" in rows.loc[second, "error"]
    assert (rows["status"] == "failed").sum() == 2
    assert len(rows) == 8
    assert set(done.summary["failures"]["image_id"]) == {first, second}
    failed = done.summary["outcomes"].set_index("measure").loc["failed"]
    assert failed["mean"] == 0.25
    found = done.summary["outcomes"].set_index("measure").loc["found"]
    assert found["n"] == 8


def test_what_failed_is_tried_again_at_the_next_start(classifier, lesions, tmp_path):
    done = audit(classifier, Changed(lesions, gone), tmp_path, method=PIXELS, limit=3, rules=["found<0.9"])
    assert (done.rows["status"] == "failed").all()
    assert done.summary.outcome == "fail"
    again = audit(classifier, lesions, tmp_path, method=PIXELS, limit=3, rules=["found<0.9"])
    assert len(again.rows) == 3
    assert (again.rows["status"] != "failed").all()


def test_each_takes_every_class_as_target_and_two_classifiers_judge_each_other(classifier, lesions, tmp_path):
    done = audit({"a": classifier, "b": classifier}, lesions, tmp_path, method=PIXELS, target="each", limit=3)
    rows = done.rows
    assert len(rows) == 3 * 2 * 2
    assert set(rows.groupby("image_id")["asked"].nunique()) == {2}
    assert (rows["status"] == "already_target").sum() == 6
    found = rows[(rows["status"] == "found") & (rows["classifier"] == "a")]
    assert found["oracle.b.flipped"].all()
    overlap = done.summary["agreement"].set_index("measure").loc["overlap"]
    assert overlap["mean"] == pytest.approx(1.0)
    review = done.summary["review"]
    assert (review["source"] != review["target"]).all(), "of an image's items the one with the likeliest target"


def test_rows_do_not_depend_on_the_batch_size(finished, classifier, lesions, tmp_path):
    together = audit({"synthetic": classifier}, lesions, tmp_path, method=PIXELS, batch=4).rows
    alone = finished.rows
    assert list(together["status"]) == list(alone["status"])
    assert list(together["target"]) == list(alone["target"])
    assert np.allclose(together["metric.mean_change"], alone["metric.mean_change"], rtol=0.05)


def test_two_classifiers_of_different_classes_do_not_disturb_each_other(classifier, lesions, tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    other = cfexplain.wrap(model, taps=["0"], classes=["cat", "dog"], image_size=64)
    rows = audit({"synthetic": classifier, "pets": other}, lesions, tmp_path, method=PIXELS, limit=1).rows
    assert "failed" not in set(rows["status"]), rows["error"].tolist()


def test_a_mask_that_misses_the_square_is_replaced_by_a_found_one(classifier, lesions, tmp_path):
    missing = Changed(lesions, lambda index, lesion: replace(lesion, mask=torch.zeros(1, 64, 64)))
    rows = audit(classifier, missing, tmp_path, method=PIXELS, limit=1).rows
    assert rows["status"].tolist() == ["found"]
    assert "cannot be used" in rows["mask"][0]


def test_the_summary_follows_from_the_rows_and_survives_saving(finished, tmp_path):
    rows, summary = finished.rows, Audit.load(finished.folder).summary
    found = summary["outcomes"].set_index("measure").loc["found", "mean"]
    assert found == pytest.approx((rows["status"] == "found").mean())
    accuracy = summary["quality"].set_index("measure").loc["accuracy", "mean"]
    assert accuracy == pytest.approx((rows["label"] == rows["source"]).mean())
    assert {"effort", "places", "suspects", "review"} <= {section.key for section in summary.sections}
    outcomes = {check.rule: check.outcome for check in finished.summary.checks}
    assert outcomes == {"found<0.4": "pass", "accuracy<1.01": "fail"}
    finished.summary.save(tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text())["outcome"] == "fail"


def test_two_images_of_one_name_are_refused(classifier, lesions, tmp_path):
    doubled = Changed(lesions, damaged)
    doubled.table = pd.concat([lesions.table.iloc[:1], lesions.table.iloc[:7]])
    with pytest.raises(ValueError, match="names of their own"):
        audit(classifier, doubled, tmp_path, method=PIXELS)


def test_a_method_that_a_classifier_cannot_serve_is_refused_at_once(lesions, tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    plain = cfexplain.wrap(model, taps=["0"], classes=["benign", "malignant"], image_size=64)
    with pytest.raises(ValueError, match="without-estimator"):
        audit(plain, lesions, tmp_path / "out")
    assert not (tmp_path / "out").exists()
