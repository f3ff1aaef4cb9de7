"""The command line as scripts use it: files, records, exit codes, one sentence for every bad input."""

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
from cfexplain.images import save_png
from cfexplain_datasets.synthetic import SyntheticLesions

COMMAND = [sys.executable, "-m", "cfexplain.cli"]
FILES = {
    "query.png", "anchor.png", "counterfactual.png", "change.png", "panel.png", "fullsize.png", "tensors.safetensors",
    "result.json", "report.html",
}  # fmt: skip


@pytest.fixture(scope="module")
def lesions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lesions")
    for i, lesion in enumerate(SyntheticLesions(4, 64, split="test")):
        save_png(folder / f"lesion{i}.png", lesion.image)
        save_png(folder / f"mask{i}.png", lesion.mask.expand(3, -1, -1))
    return folder


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
    result = explain(lesions / "lesion0.png", lesions / "lesion0.png", "--target", "malignant", "--out", tmp_path)
    assert result.exit_code == 0
    assert {p.parent.name for p in tmp_path.glob("*/result.json")} == {"lesion0", "lesion0-2"}
    assert "lesion0-2" in (tmp_path / "report.html").read_text()


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
    result = explain(bad / "text.jpg", lesions / "lesion0.png", "--target", "malignant", "--out", out)
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


def test_inverting_writes_a_picture_a_layer(lesions, tmp_path):
    result = call(
        "invert",
        lesions / "lesion0.png",
        "--classifier",
        "synthetic",
        "--layers",
        "0",
        "--method",
        "tv",
        "--out",
        tmp_path,
    )
    assert result.exit_code == 0, result.output
    names = {p.name for p in (tmp_path / "lesion0").iterdir()}
    assert names == {"tv-layer0.png", "tv-layers.png", "tv-layers.json"}
    assert json.loads((tmp_path / "lesion0" / "tv-layers.json").read_text())["layers"][0]["feature_error"] < 0.2
    refused = call("invert", lesions / "lesion0.png", "--classifier", "synthetic", "--layers", "99", "--out", tmp_path)
    assert refused.exit_code == 2
    assert "0 to 5" in refused.stderr


def test_training_and_judging_a_folder_of_pictures(tmp_path):
    for lesion in SyntheticLesions(160, 40, split="train"):
        folder = tmp_path / "data" / ("benign", "malignant")[lesion.label]
        folder.mkdir(parents=True, exist_ok=True)
        save_png(folder / f"{lesion.id}.png", lesion.image)
    options = ["--backbone", "lcnet_035", "--image-size", 32, "--epochs", 1, "--batch-size", 16, "--workers", 0]
    trained = call("train", "--dataset", "folder", "--data", tmp_path / "data", "--out", tmp_path / "run", *options)
    assert trained.exit_code == 0, trained.output
    judged = call("judge", tmp_path / "run", "--data", tmp_path / "data", "--out", tmp_path / "judged", "--json")
    assert judged.exit_code == 0, judged.output
    assert set(json.loads(judged.stdout)) >= {
        "n",
        "classifier",
        "estimator",
        "misclassification",
        "out_of_distribution",
    }
    assert (tmp_path / "judged" / "reliability.png").exists()
    shown = call("data", "check", tmp_path / "data")
    assert shown.exit_code == 0, shown.output
    assert "160" in shown.stdout


def test_missing_data_names_the_command_that_fetches_it(tmp_path):
    result = call("train", "--dataset", "ham10000", "--data", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "isic image download" in result.stderr


def test_doctor_tells_what_is_here():
    result = call("doctor")
    assert result.exit_code == 0, result.output
    assert "classifier ham10000: akiec, bcc" in result.stdout
    assert "found" in result.stdout


HEAVY = {
    "import cfexplain": ("torch", "timm", "matplotlib", "captum", "pandas"),
    "import cfexplain; cfexplain.explain": ("timm", "matplotlib", "captum", "albumentations", "torchvision", "skimage"),
    "import cfexplain.cli": ("torch", "pandas", "matplotlib"),
}


@pytest.mark.parametrize("statement", HEAVY)
def test_imports_are_light(statement):
    code = f"import sys; {statement}; print([m for m in {HEAVY[statement]} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


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
    assert 0 < record["seeds"]["noise_floor"] < 0.2
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
    said = json.loads((tmp_path / "lesion0" / "result.json").read_text())["verdict"]["oracles"]["isic2017"]
    assert (said["counted"], said["gain"]) == (False, None)


def test_a_model_without_an_estimator_is_refused_before_any_work(lesions, tmp_path):
    done = call("explain", lesions / "lesion0.png", "--classifier", "tests_methods:plain", "--out", tmp_path)
    assert done.exit_code == 2
    assert "use the method without-estimator" in done.output
    assert not (tmp_path / "lesion0").exists()


def test_pictures_of_an_earlier_question_are_not_shown_with_a_new_one(lesions, tmp_path):
    assert explain(lesions / "lesion0.png", "--path", "--seeds", "2", "--out", tmp_path).exit_code == 0
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
    said = child.stderr.read()
    assert child.wait() != 2
    assert "input" not in said
