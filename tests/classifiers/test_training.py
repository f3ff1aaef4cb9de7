"""Training resumes to the same result after a kill, and learns what it should."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from cfexplain_classifiers import Recipe, judge, load, train
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_classifiers.hardening import off_distribution
from cfexplain_classifiers.judgement import strangers_from
from reds import Reds

RECIPE = Recipe("lcnet_035", image_size=32, epochs=4, batch_size=32, learning_rate=3e-3, workers=0)


def run(out, progress=None, recipe=RECIPE, count=128):
    samples = Reds(count)
    return train(
        recipe, samples, Reds(64, 1), out, labels=samples.labels, hardening=off_distribution, progress=progress
    )


def test_a_killed_run_resumes_to_the_same_result(tmp_path):
    before = torch.get_rng_state()
    whole = run(tmp_path / "whole").read_bytes()
    assert torch.equal(torch.get_rng_state(), before), "training must not draw from the caller's random numbers"
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from test_training import run\nrun(sys.argv[1], progress=lambda line: print(line, flush=True))"
    )
    paths = [os.path.dirname(__file__), *sys.path]
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "killed"), *paths], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline().startswith("epoch 0")
    child.stdout.readline()
    time.sleep(0.02)
    child.kill()
    child.wait()
    threads = torch.get_num_threads()
    assert not (tmp_path / "killed" / "classifier.safetensors").exists(), "the kill came too late to test anything"
    assert run(tmp_path / "killed").read_bytes() == whole, f"with {threads} threads"
    log = (tmp_path / "killed" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch", "0", "1", "2", "3"]


def test_adversarial_training_resumes_to_the_same_result(tmp_path):
    def stop(line):
        if line.startswith("epoch 1"):
            raise KeyboardInterrupt

    adversarial = replace(RECIPE, adversarial=0.03)
    whole = run(tmp_path / "whole", recipe=adversarial).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", stop, adversarial)
    assert run(tmp_path / "stopped", recipe=adversarial).read_bytes() == whole
    assert run(tmp_path / "plain").read_bytes() != whole


def test_without_adversarial_nothing_is_attacked(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("attacked")

    monkeypatch.setattr("cfexplain_classifiers.training.attack", refuse)
    run(tmp_path / "plain", recipe=replace(RECIPE, epochs=1))
    with pytest.raises(AssertionError, match="attacked"):
        run(tmp_path / "adversarial", recipe=replace(RECIPE, epochs=1, adversarial=0.03))


def test_a_run_from_before_a_setting_existed_is_resumed(tmp_path):
    run(tmp_path, recipe=replace(RECIPE, epochs=1))
    older = json.loads((tmp_path / "recipe.json").read_text())
    del older["adversarial"]
    (tmp_path / "recipe.json").write_text(json.dumps(older))
    run(tmp_path, recipe=replace(RECIPE, epochs=1))
    assert json.loads((tmp_path / "recipe.json").read_text())["adversarial"] == 0


def test_disturbed_lesions_teach_the_estimator_and_nothing_else(tmp_path):
    def trained(name, recipe):
        samples = Reds(128)
        return load(train(recipe, samples, Reds(64, 1), tmp_path / name, labels=samples.labels))

    recipe = replace(RECIPE, epochs=3, detach_after=0.3)
    plain, hardened = trained("plain", recipe), trained("hardened", replace(recipe, disturbed=0.06))
    (images, _), *_ = evaluation_batches(Reds(64, 2), 32)
    assert torch.equal(plain(images).logits, hardened(images).logits), "only the estimators differ"
    assert not torch.allclose(plain(images).loss, hardened(images).loss, atol=1e-2)


def test_a_folder_with_other_data_is_refused(tmp_path):
    short = replace(RECIPE, epochs=1)
    samples = Reds(64, 0)
    train(short, samples, Reds(64, 1), tmp_path, labels=samples.labels)
    with pytest.raises(ValueError, match="other data"):
        train(short, samples, Reds(64, 1), tmp_path, labels=[1 - label for label in samples.labels])
    with pytest.raises(ValueError, match="one of each"):
        train(short, samples, Reds(64, 1), tmp_path, labels=samples.labels[:40])


def test_a_folder_with_another_recipe_is_refused(tmp_path):
    short = replace(RECIPE, epochs=1)
    run(tmp_path, recipe=short)
    with pytest.raises(ValueError, match="other settings"):
        run(tmp_path, recipe=replace(short, seed=3))


def test_classifier_and_estimator_learn(tmp_path):
    network = load(run(tmp_path, recipe=replace(RECIPE, epochs=8), count=640))
    batches = list(evaluation_batches(Reds(200, 2), 32))
    some = torch.cat([images for images, _ in batches])
    found = judge(network, batches, strangers=strangers_from(some[:50]))
    assert found.n == 200
    assert found.classifier["balanced_accuracy"] > 0.75
    assert found.estimator["spearman"] > 0.3
    assert set(found.out_of_distribution) == {"photographs", "inverted colours", "white noise", "mean"}
    json.dumps(found.to_dict())


@pytest.mark.parametrize("size", [2, 3])
def test_small_batches_harden_the_estimator_too(tmp_path, size):
    assert run(tmp_path, recipe=replace(RECIPE, batch_size=size, epochs=1, detach_after=0.0), count=6).exists()


def test_a_run_that_could_not_begin_leaves_its_folder_free(tmp_path):
    with pytest.raises(ValueError, match="do not fill one batch"):
        run(tmp_path, recipe=replace(RECIPE, batch_size=512))
    with pytest.raises(ValueError, match="is it lcnet_035"):
        run(tmp_path, recipe=replace(RECIPE, backbone="lcnett_035"))
    with pytest.raises(ValueError, match="does not take images of 40 pixels"):
        run(tmp_path, recipe=replace(RECIPE, backbone="vit_tiny_patch16_224", image_size=40))
    assert run(tmp_path, recipe=replace(RECIPE, epochs=1)).exists()


def test_training_needs_validation_images(tmp_path):
    samples = Reds(128)
    with pytest.raises(ValueError, match="1 validation images"):
        train(RECIPE, samples, Reds(1, 1), tmp_path, labels=samples.labels)


def test_a_run_from_before_a_setting_was_dropped_is_resumed(tmp_path):
    whole = run(tmp_path, recipe=replace(RECIPE, epochs=1)).read_bytes()
    older = json.loads((tmp_path / "recipe.json").read_text()) | {"margin": 1.0, "pairs": "all", "channels_last": True}
    (tmp_path / "recipe.json").write_text(json.dumps(older))
    assert run(tmp_path, recipe=replace(RECIPE, epochs=1)).read_bytes() == whole
