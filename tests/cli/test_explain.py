"""`cfexplain explain` as scripts use it: files, records, exit codes, one sentence for every bad input."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cfexplain.cli import app
from cfexplain.images import load_picture, save_png
from cfexplain_datasets.synthetic import SyntheticLesions

COMMAND = [sys.executable, "-c", "from cfexplain.cli import main; main()"]
FILES = {
    "query.png", "anchor.png", "counterfactual.png", "change.png", "panel.png", "fullsize.png", "tensors.safetensors",
    "result.json", "report.html",
}  # fmt: skip


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def explain(*arguments):
    """With fewer steps than a user would take, unless the arguments name a method."""
    quick = () if "--method" in arguments else ("--method", "tests_methods:QUICK")
    return call("explain", *arguments, "--classifier", "synthetic", *quick)


def test_explaining_two_pictures_writes_what_the_contract_names(lesions, tmp_path):
    result = explain(
        lesions / "lesion0.png", lesions / "lesion1.png", "--json", "--method", "tests_methods:QUICK", "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [r["provenance"]["image"] for r in records] == [str(lesions / "lesion0.png"), str(lesions / "lesion1.png")]
    for i, record in enumerate(records):
        assert {p.name for p in (tmp_path / f"lesion{i}").iterdir()} == FILES
        assert json.loads((tmp_path / f"lesion{i}" / "result.json").read_text()) == record
        assert record["status"] == "found"
        assert record["source"] != record["target"]
        shown = np.array(Image.open(tmp_path / f"lesion{i}" / "counterfactual.png"))
        assert shown.shape == (64, 64, 3)
        from cfexplain_classifiers import load

        image = torch.from_numpy(shown).permute(2, 0, 1)[None].float() / 255
        predicted = load("synthetic")(image).probabilities[0]
        assert record["classes"][int(predicted.argmax())] == record["target"], "the file itself flips the model"
        assert float(predicted.max()) == pytest.approx(
            record["probabilities"]["counterfactual"][record["target"]], abs=1e-4
        )


def test_same_seed_same_files_in_another_process(lesions, tmp_path):
    for out in ("a", "b"):
        done = subprocess.run(
            [*COMMAND, "explain", str(lesions / "lesion0.png"), "--classifier", "synthetic",
             "--method", "tests_methods:QUICK", "--out", str(tmp_path / out), "--seed", "3"],
            capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "\r" not in done.stderr, "no progress bar in a pipe"
    for name in ("counterfactual.png", "tensors.safetensors"):
        a, b = (tmp_path / out / "lesion0" / name for out in "ab")
        assert a.read_bytes() == b.read_bytes()


def test_sentences_are_for_people(lesions, tmp_path):
    result = explain(lesions / "lesion1.png", "--out", tmp_path)
    assert "becomes" in result.stdout
    assert str(tmp_path) in result.stdout


def test_the_mask_keeps_the_change_inside(lesions, tmp_path):
    result = explain(lesions / "lesion1.png", "--mask", lesions / "mask1.png", "--out", tmp_path, "--json")
    assert result.exit_code in (0, 1), result.output
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "lesion1" / "tensors.safetensors")
    change = (tensors["painted"] - tensors["anchor"]).abs().sum(1, keepdim=True)
    assert float(change[tensors["region"] == 0].max()) == 0
    assert float(change.max()) > 0


def test_a_target_already_predicted_is_no_refusal(lesions, tmp_path):
    picture = lesions / "lesion0.png"
    seen = json.loads(explain(picture, "--method", "tests_methods:STUCK", "--json", "--out", tmp_path).stdout)["source"]
    result = explain(picture, "--target", seen, "--json", "--out", tmp_path)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["status"] == "already_target"


def test_not_found_is_exit_code_one(lesions, tmp_path):
    result = explain(lesions / "lesion0.png", "--method", "tests_methods:STUCK", "--out", tmp_path)
    assert result.exit_code == 1, result.output
    assert "not found" in result.stdout


def test_equal_stems_get_folders_of_their_own(lesions, tmp_path):
    images = [lesions / "lesion0.png", lesions / "lesion0.png"]
    result = explain(*images, "--target", "malignant", "--method", "pixels", "--out", tmp_path)
    assert result.exit_code == 0
    assert {p.parent.name for p in tmp_path.glob("*/result.json")} == {"lesion0", "lesion0-2"}
    assert "lesion0-2" in (tmp_path / "report.html").read_text()
    assert "does not diagnose" in (tmp_path / "lesion0" / "report.html").read_text()


def test_diverse_counterfactuals_lie_side_by_side(lesions, tmp_path):
    images = [lesions / "lesion0.png", lesions / "lesion0.png"]
    result = explain(*images, "--diverse", "2", "--method", "pixels", "--json", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["seed"] for record in records] == [0, 1, 0, 1]
    names = ["lesion0", "lesion0-2", "lesion0-3", "lesion0-4"]
    for name, record in zip(names, records, strict=True):
        assert {p.name for p in (tmp_path / name).iterdir()} == FILES
        assert json.loads((tmp_path / name / "result.json").read_text()) == record
    first, second, again, _ = ((tmp_path / name / "counterfactual.png").read_bytes() for name in names)
    assert first != second
    assert first == again
    alone = explain(images[0], "--method", "pixels", "--json", "--out", tmp_path / "alone")
    assert json.loads(alone.stdout)["probabilities"] == records[0]["probabilities"], "the first is that of explain"


@pytest.fixture
def bad(tmp_path, lesions):
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(tmp_path / "tiny.png")
    Image.open(lesions / "lesion0.png").save(tmp_path / "whole.jpg", quality=95)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    Image.new("L", (64, 64)).save(tmp_path / "black.png")
    Image.new("L", (50, 20), 255).save(tmp_path / "wide.png")
    (tmp_path / "file").write_text("in the way")
    return tmp_path


BAD = [
    (["{bad}/text.jpg"], "not a picture"),
    (["{bad}/tiny.png"], "1x1"),
    (["{bad}/cut.jpg"], "cut short"),
    (["{bad}/none.png"], "no file"),
    (["{good}", "--target", "blue"], "it knows benign, malignant"),
    (["{good}", "--mask", "{bad}/black.png"], "is empty"),
    (["{good}", "--mask", "{bad}/wide.png"], "same picture"),
    (["{good}", "--mask", "{bad}/none.png"], "no file"),
    (["{good}", "--method", "magic"], "no method magic"),
    (["{good}", "--out", "{bad}/file/below"], "cannot be written to"),
    (["{good}", "--device", "abacus"], "abacus"),
    (["{good}", "--classifier", "{bad}/nowhere"], "no classifier"),
    (["{good}", "--classifier", "nomodule:load"], "cannot be imported"),
    (["{good}", "--classifier", "tests_methods:training_mode"], "training mode"),
    (["{good}", "--classifier", "tests_methods:nan_weights"], "damaged"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[w for _, w in BAD])
def test_bad_input_is_one_sentence_and_exit_code_two(arguments, words, bad, lesions, tmp_path):
    filled = [a.format(bad=bad, good=lesions / "lesion0.png") for a in arguments]
    if "--classifier" not in filled:
        filled += ["--classifier", "synthetic"]
    if "--out" not in filled:
        filled += ["--out", str(tmp_path / "out")]
    result = call("explain", *filled)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert not list((tmp_path / "out").rglob("*.part"))


def test_one_bad_file_among_many_does_not_stop_the_rest(bad, lesions, tmp_path):
    out = tmp_path / "out"
    images = [bad / "text.jpg", lesions / "lesion0.png"]
    result = explain(*images, "--target", "malignant", "--method", "pixels", "--out", out)
    assert result.exit_code == 2
    assert (out / "lesion0" / "result.json").exists()
    assert "text.jpg" in result.stderr


def test_a_full_stop_keeps_what_is_finished(lesions, tmp_path):
    pictures = [str(lesions / f"lesion{i % 4}.png") for i in range(12)]
    child = subprocess.Popen(
        [*COMMAND, "explain", *pictures, "--classifier", "synthetic", "--method", "tests_methods:QUICK",
         "--out", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 2
    assert "what was finished is kept" in errors
    assert "Traceback" not in errors
    assert (tmp_path / "lesion0" / "result.json").exists()
    for folder in tmp_path.iterdir():
        assert not list(folder.glob(".*part")), "no half-written file"


def test_the_verdict_the_words_the_path_and_the_seeds(lesions, tmp_path):
    result = explain(
        lesions / "lesion1.png", "--out", tmp_path, "--json", "--method", "tests_methods:QUICK", "--path",
        "--seeds", "2", "--oracle", "synthetic", "--confidence", "0.7",
    )  # fmt: skip
    record = json.loads(result.stdout)
    verdict = record["verdict"]
    assert verdict["kind"] in ("semantic", "fragile", "adversarial")
    assert verdict["oracles"]["synthetic"] == {
        "counted": True,
        "flipped": True,
        "gain": pytest.approx(record["metrics"]["target_gain"], abs=1e-4),
    }
    assert set(verdict["robustness"]) == {"jpeg", "blur", "noise", "shift", "resize", "together"}
    assert record["target"] in record["finding"]
    assert record["readout"]["before"]["irregularity"] >= 1
    assert 0 <= record["seeds"]["overlap"] <= 1
    assert record["seeds"]["noise_floor"] is None, "of the pretrained prior all seeds have one anchor"
    assert {"path.gif", "path.png", "seeds.png"} < {p.name for p in (tmp_path / "lesion1").iterdir()}
    with Image.open(tmp_path / "lesion1" / "path.gif") as gif:
        assert gif.n_frames > 10
    assert json.loads((tmp_path / "lesion1" / "result.json").read_text()) == record


def test_an_oracle_that_does_not_exist_is_named(lesions, tmp_path):
    result = explain(lesions / "lesion1.png", "--out", tmp_path, "--oracle", "delphi")
    assert result.exit_code == 2
    assert "delphi" in result.output


def test_an_oracle_that_does_not_know_the_class_is_no_failure(lesions, tmp_path):
    done = explain(lesions / "lesion0.png", "--oracle", "isic2017", "--method", "pixels", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "lesion0" / "result.json").read_text())["verdict"]["oracles"]["isic2017"]
    assert (record["counted"], record["gain"]) == (False, None)


def test_a_model_without_an_estimator_is_refused_before_any_work(lesions, tmp_path):
    done = call("explain", lesions / "lesion0.png", "--classifier", "tests_methods:plain", "--out", tmp_path)
    assert done.exit_code == 2
    assert "use the method without-estimator" in done.output
    assert not (tmp_path / "lesion0").exists()


def test_pictures_of_an_earlier_question_are_not_shown_with_a_new_one(lesions, tmp_path):
    first = explain(lesions / "lesion0.png", "--method", "pixels", "--path", "--seeds", "2", "--out", tmp_path)
    assert first.exit_code == 0, first.output
    assert (tmp_path / "lesion0" / "seeds.png").exists()
    assert explain(lesions / "lesion0.png", "--method", "pixels", "--out", tmp_path).exit_code == 0
    assert {p.name for p in (tmp_path / "lesion0").iterdir()} == FILES


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_bad_input(lesions, tmp_path):
    pictures = [lesions / f"lesion{i}.png" for i in range(3)]
    options = ["--classifier", "synthetic", "--method", "pixels", "--json", "--out", tmp_path]
    child = subprocess.Popen(
        [*COMMAND, "explain", *pictures, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child.stdout.read(10)
    child.stdout.close()
    errors = child.stderr.read()
    assert child.wait() != 2
    assert "input" not in errors


def test_explain_takes_hair_off_only_where_it_is_asked_to(tmp_path):
    lesions = SyntheticLesions(16, size=128, split="test")
    hairy = max(range(16), key=lambda i: lesions.table["hair"].iloc[i])
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "hairy.png"
    save_png(path, lesions[hairy].image)

    def query(*more):
        out = tmp_path / "-".join(("out", *more))
        done = explain(path, "--method", "pixels", "--out", out, *more)
        return done, (load_picture(out / "hairy" / "query.png") if done.exit_code < 2 else None)

    (_, plain), (_, bare) = query(), query("--dehair", "dullrazor")
    (page,) = (tmp_path / "out---dehair-dullrazor").rglob("report.html")
    assert "removed beforehand (dullrazor)" in page.read_text()
    assert all("taken off" not in path.read_text() for path in (tmp_path / "out").rglob("report.html"))
    changed = (plain - bare).abs().amax(0) > 0.02
    assert 0.002 < float(changed.float().mean()) < 0.3
    refused, _ = query("--dehair", "razor")
    assert refused.exit_code == 2
    assert "no way razor" in refused.output
