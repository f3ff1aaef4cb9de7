"""The audit of real classifiers on drawn lesions: rows, failures, plans, rules, what the summary says."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import cfexplain
import cfexplain_classifiers
from cfexplain.audit import Audit, audit
from cfexplain.audit import store as store_module
from cfexplain.audit.interval import difference_of, mean_of
from cfexplain.audit.question import Question, chosen, fingerprint, images_digest
from cfexplain.audit.region import effects, excess, places
from cfexplain.audit.row import Row
from cfexplain.audit.rule import Rule
from cfexplain.audit.slices import gaps
from cfexplain.audit.store import Store, parts, read_rows
from cfexplain.audit.suspect import suspects
from cfexplain.explanation.folder import load
from cfexplain.method.presets import PIXELS, TV
from cfexplain.search.explain import explain
from cfexplain_datasets.synthetic import SyntheticLesions

TIMES = ["seconds"]


@pytest.fixture(scope="module")
def classifier():
    return cfexplain_classifiers.folded(cfexplain_classifiers.load("synthetic"))


@pytest.fixture(scope="module")
def lesions():
    return SyntheticLesions(8, size=64, split="test")


@pytest.fixture(scope="module")
def finished(classifier, lesions, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit")
    return audit({"synthetic": classifier}, lesions, out, method=PIXELS, rules=["found<0.4", "accuracy<1.01"])


class Damaged:
    """A data set in which one picture cannot be read, and one is not a number."""

    def __init__(self, lesions):
        self.lesions, self.table = lesions, lesions.table

    def __len__(self):
        return len(self.lesions)

    def __getitem__(self, index):
        from dataclasses import replace

        if index == 1:
            raise OSError("the disk is gone")
        found = self.lesions[index]
        return replace(found, image=found.image * float("nan")) if index == 2 else found


def test_there_is_a_row_an_image_and_a_case_a_row(finished, lesions):
    rows = finished.rows
    assert list(rows["image_id"]) == sorted(lesions.table.index)
    assert rows["status"].eq("found").mean() > 0.5
    cases = {path.name for path in (finished.folder / "cases").iterdir()}
    assert cases == set(rows["case"])


def test_a_case_holds_the_exact_counterfactual_of_its_row(finished):
    row = finished.rows.iloc[0]
    kept = load(finished.folder / "cases" / row["case"]).edit
    assert kept.status[0].value == row["status"]
    assert float(kept.difference.abs().mean()) == pytest.approx(row["metric.mean_change"], rel=1e-4)
    names = {path.name for path in (finished.folder / "cases" / row["case"]).iterdir()}
    assert {"query.png", "counterfactual.png", "change.png", "result.json", "tensors.safetensors"} <= names


def test_rows_equal_what_explain_says(finished, classifier, lesions):
    row = finished.rows.iloc[3]
    index = list(lesions.table.index).index(row["image_id"])
    alone = explain(classifier, lesions[index].image[None], method=PIXELS)
    assert alone.status[0].value == row["status"]
    assert float(alone.difference.abs().mean()) == pytest.approx(row["metric.mean_change"], rel=1e-4)


def test_started_again_it_asks_nothing_twice(finished, classifier, lesions):
    before = [part.stat().st_mtime_ns for part in parts(finished.folder)]
    counts = []
    audit(
        {"synthetic": classifier},
        lesions,
        finished.folder,
        method=PIXELS,
        progress=lambda done, whole: counts.append((done, whole)),
    )
    assert counts == [(8, 8)]
    assert [part.stat().st_mtime_ns for part in parts(finished.folder)] == before


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"seed": 1}, "seed"), ({"method": TV}, "method"), ({"limit": 3}, "images"), ({"target": "each"}, "target")],
)
def test_other_settings_in_the_same_folder_are_refused_with_a_sentence(finished, classifier, lesions, changed, word):
    with pytest.raises(ValueError, match=f"another {word}"):
        audit({"synthetic": classifier}, lesions, finished.folder, **({"method": PIXELS} | changed))


def test_other_weights_under_the_same_name_are_refused(finished, classifier, lesions):
    import copy

    other = copy.deepcopy(classifier)
    with torch.no_grad():
        next(other.parameters()).add_(0.01)
    with pytest.raises(ValueError, match="another classifiers"):
        audit({"synthetic": other}, lesions, finished.folder, method=PIXELS)


def test_two_writers_are_refused(finished, classifier, lesions):
    store = Store(finished.folder, None)
    store._agree = lambda: None  # the plan is not what is tested here
    with store.writing(), pytest.raises(ValueError, match="another audit writes"):
        audit({"synthetic": classifier}, lesions, finished.folder, method=PIXELS)


def test_a_failed_image_is_a_row(classifier, lesions, tmp_path):
    done = audit(classifier, Damaged(lesions), tmp_path, method=PIXELS)
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


def test_each_asks_for_every_class_and_two_classifiers_judge_each_other(classifier, lesions, tmp_path):
    done = audit({"a": classifier, "b": classifier}, lesions, tmp_path, method=PIXELS, target="each", limit=3)
    rows = done.rows
    assert len(rows) == 3 * 2 * 2
    assert set(rows.groupby("image_id")["asked"].nunique()) == {2}
    assert (rows["status"] == "already_target").sum() == 6
    found = rows[(rows["status"] == "found") & (rows["classifier"] == "a")]
    assert found["oracle.b.flipped"].all()
    overlap = done.summary["agreement"].set_index("measure").loc["overlap"]
    assert overlap["mean"] == pytest.approx(1.0)


def test_answers_do_not_depend_on_how_many_are_asked_together(finished, classifier, lesions, tmp_path):
    together = audit({"synthetic": classifier}, lesions, tmp_path, method=PIXELS, batch=4).rows
    alone = finished.rows
    assert list(together["status"]) == list(alone["status"])
    assert list(together["target"]) == list(alone["target"])
    assert np.allclose(together["metric.mean_change"], alone["metric.mean_change"], rtol=0.05)


def test_the_summary_is_what_the_rows_say_and_survives_saving(finished, tmp_path):
    rows, summary = finished.rows, Audit.load(finished.folder).summary
    found = summary["outcomes"].set_index("measure").loc["found", "mean"]
    assert found == pytest.approx((rows["status"] == "found").mean())
    accuracy = summary["quality"].set_index("measure").loc["accuracy", "mean"]
    assert accuracy == pytest.approx((rows["label"] == rows["source"]).mean())
    assert {"effort", "places", "suspects", "review"} <= {section.key for section in summary.sections}
    finished.summary.save(tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text())["outcome"] == "fail"


def test_rules_pass_warn_and_fail(finished):
    assert {check.rule: check.outcome for check in finished.summary.checks} == {
        "found<0.4": "pass",
        "accuracy<1.01": "fail",
    }
    rows = pd.DataFrame({"image_id": map(str, range(40)), "lesion_id": map(str, range(40)), "classifier": "c"})
    rows["status"] = ["found"] * 36 + ["not_found"] * 4
    assert Rule.parse("found<0.92").check(rows, "c").outcome == "fail"
    assert Rule.parse("found<0.85").check(rows, "c").outcome == "warn"
    assert Rule.parse("found<0.5").check(rows, "c").outcome == "pass"
    assert Rule.parse("found<0.95").check(rows.iloc[:8], "c").outcome == "warn"
    assert Rule.parse("oracle_agreement<0.5").check(rows, "c").outcome == "warn"


@pytest.mark.parametrize("text", ["found", "found=1", "beauty<0.5", "found<much", ""])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match=r"is no rule|no measure"):
        Rule.parse(text)


def test_an_audit_in_which_everything_fails_still_says_so(classifier, lesions, tmp_path):
    class Gone(Damaged):
        def __getitem__(self, index):
            raise OSError("the disk is gone")

    done = audit(classifier, Gone(lesions), tmp_path, method=PIXELS, limit=3, rules=["found<0.9"])
    assert (done.rows["status"] == "failed").all()
    assert done.summary.outcome == "fail"
    again = audit(classifier, lesions, tmp_path, method=PIXELS, limit=3, rules=["found<0.9"])
    assert len(again.rows) == 3
    assert (again.rows["status"] != "failed").all(), "what failed is asked again at the next start"


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(classifier, lesions, tmp_path):
    (tmp_path / "cases" / "patient").mkdir(parents=True)
    (tmp_path / "cases" / "patient" / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(ValueError, match="no audit's"):
        audit(classifier, lesions, tmp_path, method=PIXELS)
    assert (tmp_path / "cases" / "patient" / "photo.jpg").read_bytes() == b"mine"


def test_two_images_of_one_name_are_refused(classifier, lesions, tmp_path):
    doubled = Damaged(lesions)
    doubled.table = pd.concat([lesions.table.iloc[:1], lesions.table.iloc[:7]])
    with pytest.raises(ValueError, match="names of their own"):
        audit(classifier, doubled, tmp_path, method=PIXELS)


def test_a_normalisation_is_part_of_the_fingerprint():
    import cfexplain

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    one, other = (
        cfexplain.wrap(model, taps=["0"], classes=["a", "b"], image_size=32, mean=mean)
        for mean in ((0.5, 0.5, 0.5), (0.0, 0.0, 0.0))
    )
    assert fingerprint(one) != fingerprint(other)


def test_an_artefact_on_all_sides_is_no_control_of_itself(finished, classifier):
    row = finished.rows.iloc[0]
    result = load(finished.folder / "cases" / row["case"]).edit
    rim = torch.ones(1, 64, 64)
    rim[:, 8:-8, 8:-8] = 0
    alone = effects(result, classifier, {"rim": rim})
    assert excess(result, classifier, {"rim": rim}) == pytest.approx(alone, abs=1e-5)


def test_the_worst_of_many_groups_by_chance_is_no_failure():
    rng, fails = np.random.default_rng(0), 0
    for _ in range(8):
        n = 200
        rows = pd.DataFrame({"image_id": map(str, range(n)), "lesion_id": map(str, range(n)), "classifier": "c"})
        rows["status"], rows["label"] = "found", rng.choice(["a", "b"], n)
        rows["source"] = np.where(rng.random(n) < 0.75, rows["label"], "c")
        for k in range(4):
            rows[f"meta.k{k}"] = rng.choice(list("uvwxyz"), n)
        fails += Rule.parse("worst_group_gap>0.15").check(rows, "c").outcome == "fail"
    assert fails <= 1


def test_a_calibrated_classifier_has_next_to_no_calibration_error():
    from cfexplain.audit.measure import STATISTICS

    rng, errors = np.random.default_rng(0), []
    for _ in range(20):
        p = rng.uniform(0.5, 1, 300)
        rows = pd.DataFrame({"confidence": p, "right": (rng.random(300) < p).astype(float)})
        errors.append(STATISTICS["calibration_error"](rows))
    assert np.mean(errors) < 0.03
    rows["confidence"] = 0.99
    assert STATISTICS["calibration_error"](rows) > 0.15


def test_review_looks_at_the_question_that_was_likeliest(classifier, lesions, tmp_path):
    done = audit(classifier, lesions, tmp_path, method=PIXELS, target="each", limit=4)
    review = done.summary["review"]
    assert (review["source"] != review["target"]).all()


def test_a_limit_draws_by_name_whatever_the_order(lesions):
    one = {lesions.table.index[i] for i in chosen(lesions, 4)}
    turned = type("T", (), {"table": lesions.table.iloc[::-1]})()
    assert {turned.table.index[i] for i in chosen(turned, 4)} == one
    assert one <= {lesions.table.index[i] for i in chosen(lesions, 6)}


def test_names_of_cases_are_safe_and_unique():
    odd = [Question(0, name, "auto", "../x") for name in ("a/../b", "a..b", "Ä" * 300, "")]
    cases = {question.case for question in odd}
    assert len(cases) == 4
    assert all(len(case) < 120 and "/" not in case and ".." not in case for case in cases)


def test_parts_are_joined_without_losing_or_doubling_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "COMPACTED", 4)
    store = Store(tmp_path, None)
    store._agree = lambda: None
    with store.writing():
        for i in range(11):
            store.add([Row({"image_id": f"{i:02d}", "asked": "auto", "classifier": "c", "case": None, "status": "x"})])
    assert len(parts(tmp_path)) == 2 + 3
    assert list(read_rows(tmp_path)["image_id"]) == [f"{i:02d}" for i in range(11)]


def test_a_kill_between_joining_and_deleting_leaves_each_row_once(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "COMPACTED", 4)
    store = Store(tmp_path, None)
    store._agree = lambda: None
    monkeypatch.setattr("pathlib.Path.unlink", lambda self, missing_ok=False: None)
    with store.writing():
        for i in range(4):
            store.add([Row({"image_id": str(i), "asked": "auto", "classifier": "c", "case": None, "status": "x"})])
    monkeypatch.undo()
    assert len(list((tmp_path / "rows").glob("part-*"))) == 5
    assert len(read_rows(tmp_path)) == 4
    (tmp_path / "cases" / "orphan").mkdir()
    with store.writing():
        assert len(store.done()) == 4
    assert len(list((tmp_path / "rows").iterdir())) == 1
    assert not (tmp_path / "cases" / "orphan").exists()


def test_intervals_cover_the_truth_and_count_lesions_not_images():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        values = pd.Series(rng.normal(0.3, 1, 60))
        interval = mean_of(values, pd.Series(range(60)))
        covered += interval.low <= 0.3 <= interval.high
    assert 85 <= covered <= 100
    shares = [mean_of(pd.Series((rng.random(20) < 0.95).astype(float)), pd.Series(range(20))) for _ in range(100)]
    assert sum(i.low <= 0.95 <= i.high for i in shares) >= 93
    values = pd.Series(np.repeat(rng.normal(0, 1, 20), 10))
    of_lesions = mean_of(values, pd.Series(np.repeat(range(20), 10)))
    of_images = mean_of(values, pd.Series(range(200)))
    assert of_lesions.high - of_lesions.low > 2 * (of_images.high - of_images.low)
    gap = difference_of(values[:100], values[100:] + 5, pd.Series(range(100)), pd.Series(range(100, 200)))
    assert gap.high < -3


def test_places_part_the_picture(lesions):
    parted = places(lesions[0].mask)
    assert torch.equal(sum(parted.values()), torch.ones(1, 64, 64))
    assert all(0 < float(mask.mean()) < 1 for mask in parted.values())


def test_effects_are_the_share_of_the_change_of_mind(finished, classifier):
    row = finished.rows.iloc[0]
    result = load(finished.folder / "cases" / row["case"]).edit
    everything, nothing = torch.ones(1, 64, 64), torch.zeros(1, 64, 64)
    found = effects(result, classifier, {"everything": everything, "nothing": nothing})
    assert found["everything"] == pytest.approx(1, abs=1e-4)
    assert found["nothing"] == pytest.approx(0, abs=1e-4)
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    turned = effects(result, classifier, {"left": left, "right": 1 - left})  # no pixel is in both
    assert excess(result, classifier, {"left": left})["left"] == pytest.approx(
        turned["left"] - turned["right"], abs=1e-4
    )


def test_the_artefact_that_does_the_work_ranks_first():
    rows = pd.DataFrame({"image_id": map(str, range(30)), "lesion_id": map(str, range(30)), "status": "found"})
    rows["artefact.ink"], rows["artefact.hair"] = 0.02, 0.05
    rows["excess.ink"] = [0.4] * 15 + [np.nan] * 15
    rows["excess.hair"] = 0.05
    ranked = suspects(rows)
    assert [row["suspect"] for row in ranked] == ["ink", "hair"]
    assert ranked[0]["excess"] == pytest.approx(0.2)
    assert ranked[0]["excess_where_involved"] == pytest.approx(0.4)


def test_the_worst_group_is_found():
    n = 80
    rows = pd.DataFrame({"image_id": map(str, range(n)), "lesion_id": map(str, range(n)), "classifier": "c"})
    rows["status"], rows["label"] = "found", "a"
    rows["meta.sex"] = ["female", "male"] * (n // 2)
    rows["meta.site"] = (["arm"] * 20 + ["back"] * 60)
    rows["source"] = ["b"] * 15 + ["a"] * 65
    worst = gaps(rows, ("accuracy",))[0]
    assert worst["group"] == "site: arm"
    assert worst["mean"] == pytest.approx(0.25 - 1)
    check = Rule.parse("worst_group_gap>0.2").check(rows, "c")
    assert check.outcome == "fail"
    assert "arm" in check.note


def test_other_pictures_under_the_same_names_are_refused(classifier, lesions, tmp_path):
    class Relabelled:
        def __init__(self):
            other = {"benign": "malignant", "malignant": "benign"}
            self.table = lesions.table.assign(label=lesions.table["label"].map(other))

        def __len__(self):
            return len(lesions)

        def __getitem__(self, index):
            return lesions[index]

    audit(classifier, lesions, tmp_path, method=PIXELS, limit=1)
    with pytest.raises(ValueError, match="another ids"):
        audit(classifier, Relabelled(), tmp_path, method=PIXELS, limit=1)


def test_another_picture_of_the_same_size_is_another_and_a_copy_elsewhere_is_not(tmp_path):
    class Files:
        def __init__(self, folder):
            self.table = pd.DataFrame({"path": [str(folder / "a")]}, index=["a"])

    plain, dotted = Image.new("RGB", (200, 100)), Image.new("RGB", (200, 100))
    dotted.putpixel((3, 2), (1, 0, 0))
    contents = {"one": plain, "copy": plain, "other": dotted}
    for name, picture in contents.items():
        (tmp_path / name).mkdir()
        picture.save(tmp_path / name / "a", "png", compress_level=0)
    (tmp_path / "longer").mkdir()
    (tmp_path / "longer" / "a").write_bytes((tmp_path / "one" / "a").read_bytes() + b"1")
    names = ("one", "copy", "other", "longer")
    one, copy, other, longer = (images_digest(Files(tmp_path / name), [0]) for name in names)
    assert len((tmp_path / "other" / "a").read_bytes()) == len((tmp_path / "one" / "a").read_bytes()) > 4096
    assert one == copy
    assert len({one, other, longer}) == 3


def test_a_mask_that_misses_the_square_is_replaced_by_the_outline_that_is_found(classifier, lesions, tmp_path):
    class Missing:
        table = lesions.table

        def __len__(self):
            return len(lesions)

        def __getitem__(self, index):
            from dataclasses import replace

            return replace(lesions[index], mask=torch.zeros(1, 64, 64))

    rows = audit(classifier, Missing(), tmp_path, method=PIXELS, limit=1).rows
    assert rows["status"].tolist() == ["found"]
    assert "cannot be used" in rows["mask"][0]


def test_a_method_that_a_classifier_cannot_serve_is_refused_at_once(lesions, tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    plain = cfexplain.wrap(model, taps=["0"], classes=["benign", "malignant"], image_size=64)
    with pytest.raises(ValueError, match="without-estimator"):
        audit(plain, lesions, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_classifiers_of_other_classes_do_not_spoil_each_other(classifier, lesions, tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    other = cfexplain.wrap(model, taps=["0"], classes=["cat", "dog"], image_size=64)
    rows = audit({"synthetic": classifier, "pets": other}, lesions, tmp_path, method=PIXELS, limit=1).rows
    assert "failed" not in set(rows["status"]), rows["error"].tolist()


def test_a_large_sure_gap_is_not_hidden_behind_a_small_groups_larger_one():
    """Of two gaps beyond the bound the smaller is more than chance, the larger is a dozen images' and is not."""
    from cfexplain.audit.rule import _worst_gap

    small = {"measure": "found", "group": "site: scalp", "n": 12, "mean": -0.30, "low": -0.62, "high": 0.02}
    large = {"measure": "found", "group": "site: trunk", "n": 400, "mean": -0.24, "low": -0.30, "high": -0.19}
    gap, note, sure = _worst_gap([small, large], lambda value: value > 0.2)
    assert (round(gap.mean, 2), sure) == (0.24, True)
    assert "trunk" in note
    gap, note, sure = _worst_gap([small, large], lambda value: value > 0.25)
    assert (round(gap.mean, 2), sure) == (0.30, False), "where no sure one breaks the rule, the largest is told"
