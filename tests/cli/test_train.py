"""`cfexplain train`, `judge` and `data check` on a folder of images."""

import json

from typer.testing import CliRunner

from cfexplain.cli import app
from cfexplain.images import save_png
from cfexplain_datasets.synthetic import SyntheticLesions


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


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
