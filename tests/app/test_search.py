"""An upload becomes a query, a search is streamed, stopped and recorded; without a page."""

import json
import threading
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load

from cfexplain.app.search import NamedClassifier, Progress, Query, search, write_record
from cfexplain.explanation.explanation import Explanation
from cfexplain.images import ImageError, round8, save_png

FILES = {
    "query.png", "anchor.png", "counterfactual.png", "change.png", "panel.png", "fullsize.png", "tensors.safetensors",
    "result.json", "report.html",
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return NamedClassifier.load("synthetic", "cpu")


@pytest.fixture(scope="module")
def query(model):
    return Query.example(0, model)


@pytest.fixture(scope="module")
def found(query):
    *_, explanation = search(query, "benign", method="pixels")
    return explanation


def test_an_example_is_predicted_with_the_licence_of_the_classifier(query, model):
    assert list(query.probabilities) == ["malignant", "benign"]
    assert sum(query.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert query.image.shape == (1, 3, 64, 64)
    assert "CC0" in model.licence
    assert Query.example(1, model).name != query.name


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_an_upload_is_read_and_deleted(model, tmp_path, suffix):
    path = tmp_path / f"my lesion{suffix}"
    Image.fromarray(np.full((60, 90, 3), 140, np.uint8)).save(path)
    query = Query.read(path, model)
    assert query.name == path.name
    assert query.original.shape == (3, 60, 90)
    assert not path.exists()


@pytest.mark.parametrize(("name", "size"), [("notes.png", None), ("tiny.png", 8)])
def test_a_bad_upload_is_refused_and_deleted(model, tmp_path, name, size):
    path = tmp_path / name
    path.write_bytes(b"no image") if size is None else save_png(path, torch.rand(3, size, size))
    with pytest.raises(ImageError, match=name):
        Query.read(path, model)
    assert not path.exists()


def test_a_search_reports_its_progress_and_ends_with_the_explanation(query):
    *progress, explanation = search(query, "benign", method="fast", budget=4)
    assert isinstance(explanation, Explanation)
    assert (explanation.source, explanation.target) == ("malignant", "benign")
    assert all(isinstance(report, Progress) and report.image.shape == (3, 64, 64) for report in progress)
    assert all(1 <= report.step <= report.steps for report in progress)
    stages = [report.stage for report in progress]
    assert stages == sorted(stages, key=["anchor", "edit", "evaluation"].index)
    assert {"anchor", "edit"} <= set(stages)
    for report in progress:
        assert (report.probabilities is None) == (report.stage == "anchor")
    edits = [report.probabilities["benign"] for report in progress if report.stage == "edit"]
    assert edits[-1] > edits[0]


def test_the_record_is_what_explain_writes_with_its_report(found, tmp_path):
    archive, report = write_record(found, tmp_path)
    assert list(tmp_path.iterdir()) == [archive]
    folder = archive.stem
    with zipfile.ZipFile(archive) as packed:
        files = {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")}
    assert set(files) == {f"{folder}/{name}" for name in FILES}
    record = json.loads(files[f"{folder}/result.json"])
    assert record == found.to_json()
    assert record["provenance"]["classifier"] == "synthetic"
    assert "CC0" in record["provenance"]["licence"]
    assert torch.equal(load(files[f"{folder}/tensors.safetensors"])["image"], found.edit.image)
    assert files[f"{folder}/report.html"].decode() == report
    assert found.verdict.kind.value in report


def test_nothing_changes_outside_the_region(query):
    region = torch.zeros(1, 1, 64, 64)
    region[..., 16:48, 20:44] = 1
    *_, explanation = search(query, "benign", method="pixels", region=region)
    edit, outside = explanation.edit, (region == 0).expand(1, 3, -1, -1)
    assert torch.equal(edit.image[outside], round8(edit.query)[outside])
    assert edit.difference[~outside].any()


def test_closing_a_search_stops_its_thread(query):
    before = set(threading.enumerate())
    reports = search(query, "benign")
    assert isinstance(next(reports), Progress)
    (thread,) = {new for new in set(threading.enumerate()) - before if new.name.startswith("ThreadPoolExecutor")}
    reports.close()
    thread.join(30)
    assert not thread.is_alive()


def test_the_seed_and_the_budget_are_those_of_explain(query):
    *_, explanation = search(query, "benign", method="pixels", seed=3, budget=60)
    assert explanation.edit.seed == 3
    with pytest.raises(ValueError, match="cancer"):
        list(search(query, "cancer"))
