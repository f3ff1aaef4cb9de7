"""`cfexplain pretrain`, and searches that start from its weights."""

import json
import shutil

from safetensors.torch import load_file
from typer.testing import CliRunner

from cfexplain.cli import app
from cfexplain.generators.pretrained import AUTOENCODER


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_weights_of_your_own_images_are_what_a_search_starts_from(lesions, tmp_path):
    weights, images = tmp_path / "mine.safetensors", tmp_path / "images"
    images.mkdir()
    for path in lesions.glob("lesion*.png"):
        shutil.copy(path, images)
    done = call("pretrain", images, "--out", weights, "--steps", 3)
    assert done.exit_code == 0, done.output
    assert f"--prior {weights}" in done.stdout
    assert len(load_file(weights)) == len(AUTOENCODER.build(*_query()).state_dict())
    options = ("--classifier", "synthetic", "--method", "fast", "--budget", 2, "--json")
    found = call("explain", lesions / "lesion0.png", *options, "--prior", weights, "--out", tmp_path / "out")
    assert found.exit_code in (0, 1), found.output
    method = json.loads(found.stdout)["method"]
    assert method["generator"]["generator"]["weights"] == str(weights)


def test_a_prior_that_cannot_be_used_is_a_sentence(lesions, tmp_path):
    image = ("explain", lesions / "lesion0.png", "--classifier", "synthetic", "--out", tmp_path)
    wrong = call(*image, "--method", "dip", "--prior", "mine.safetensors")
    assert wrong.exit_code == 2
    assert "dip has no pretrained prior" in wrong.output
    missing = call(*image, "--prior", tmp_path / "no.safetensors")
    assert missing.exit_code == 2
    assert "no such file" in missing.output
    (tmp_path / "empty").mkdir()
    nothing = call("pretrain", tmp_path / "empty", "--out", tmp_path / "x.safetensors")
    assert nothing.exit_code == 2


def _query():
    import torch

    return torch.zeros(1, 3, 64, 64), torch.Generator()
