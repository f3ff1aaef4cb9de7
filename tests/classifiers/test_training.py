"""Training goes on after a kill to the same result, and learns what it should."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from cfexplain_classifiers import Architecture, LesionClassifier, Recipe, judge, load, train
from cfexplain_classifiers.batches import BalancedOrder, Squares, evaluation_batches
from cfexplain_classifiers.calibrate import best_temperature, predict_all
from cfexplain_classifiers.hardening import off_distribution, true_loss, unknown_loss
from cfexplain_classifiers.judgement import calibration_error, sensitivity_at, strangers_from
from cfexplain_classifiers.weights import load_backbone

RECIPE = Recipe("lcnet_035", image_size=32, epochs=4, batch_size=32, learning_rate=3e-3, workers=0)


@dataclass
class Sample:
    image: torch.Tensor
    label: int


class Reds:
    """Two classes by redness, with a few that are hard to tell."""

    classes = ("dull", "red")

    def __init__(self, count, seed=0):
        self.count, self.seed = count, seed

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = torch.Generator().manual_seed(self.seed * 10_000 + index)
        image = torch.rand(3, 1, 1, generator=rng) * 0.2 + torch.rand(3, 40, 50, generator=rng) * 0.5
        image[0] += (index % 2) * (0.1 + 0.3 * torch.rand((), generator=rng))
        return Sample(image.clamp(0, 1), index % 2)

    labels = property(lambda self: [i % 2 for i in range(self.count)])


def run(out, progress=None, recipe=RECIPE, count=128):
    samples = Reds(count)
    return train(
        recipe, samples, Reds(64, 1), out, labels=samples.labels, hardening=off_distribution, progress=progress
    )


def test_a_killed_run_goes_on_to_the_same_result(tmp_path):
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


def test_adversarial_training_goes_on_to_the_same_result_too(tmp_path):
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


def test_a_run_from_before_a_setting_existed_goes_on(tmp_path):
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


def test_it_learns_and_the_estimator_knows_where_it_errs(tmp_path):
    network = load(run(tmp_path, recipe=replace(RECIPE, epochs=8), count=640))
    batches = list(evaluation_batches(Reds(200, 2), 32))
    some = torch.cat([images for images, _ in batches])
    found = judge(network, batches, strangers=strangers_from(some[:50]))
    assert found.n == 200
    assert found.classifier["balanced_accuracy"] > 0.75
    assert found.estimator["spearman"] > 0.3
    assert set(found.out_of_distribution) == {"photographs", "inverted colours", "white noise", "mean"}
    json.dumps(found.to_dict())


def test_augmentation_depends_on_seed_epoch_and_index_only():
    def squares(seed, epoch):
        import numpy as np

        made = Squares(Reds(4), 32, lambda picture, s: np.full((32, 32, 3), s % 256, "uint8"), seed)
        made.epoch = epoch
        return [made[i][0] for i in range(4)]

    assert all(torch.equal(a, b) for a, b in zip(squares(0, 1), squares(0, 1), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(squares(0, 1), squares(0, 2), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(squares(0, 1), squares(1, 1), strict=True))


def test_balanced_order_draws_rare_classes_more_often():
    labels = [0] * 900 + [1] * 100 + [-1] * 10
    drawn = torch.tensor([labels[i] for i in BalancedOrder(labels, 1.0, 0)])
    assert 0.4 < float((drawn == 1).float().mean()) < 0.6
    assert int((drawn == -1).sum()) == 0
    natural = torch.tensor([labels[i] for i in BalancedOrder(labels, 0.0, 0)])
    assert 0.06 < float((natural == 1).float().mean()) < 0.15


def test_a_damaged_picture_does_not_stop_training():
    from cfexplain.images import ImageError

    class Damaged(Reds):
        def __getitem__(self, index):
            if index == 1:
                raise ImageError("cut short")
            return super().__getitem__(index)

    image, label = Squares(Damaged(4), 32)[1]
    assert label == -1
    assert image.shape == (3, 32, 32)


def test_temperature_undoes_overconfidence():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=rng)
    labels = torch.distributions.Categorical(logits=logits).sample()
    assert best_temperature(logits * 4, labels) == pytest.approx(4, rel=0.2)
    before = calibration_error((logits * 4).softmax(1), labels)
    assert calibration_error(logits.softmax(1), labels) < before


def test_measures_by_hand():
    import numpy as np

    assert calibration_error(torch.tensor([[0.9, 0.1], [0.9, 0.1]]), torch.tensor([0, 1])) == pytest.approx(0.4)
    scores, positive = np.arange(20) / 20, np.arange(20) % 2 == 1
    assert 0 < sensitivity_at(scores, positive, 0.9) <= 0.2
    assert float(unknown_loss(torch.zeros(1, 4))) == pytest.approx(np.log(4))
    assert float(unknown_loss(torch.tensor([[9.0, 0, 0, 0]]))) > np.log(4)


def test_off_distribution_images_are_reproducible_pictures():
    images = torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    a, b = (off_distribution(images, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.shape == images.shape
    assert 0 <= float(a.min()) <= float(a.max()) <= 1


def test_the_true_loss_of_no_class_is_that_of_the_unknown():
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    known, unknown = true_loss(logits, torch.tensor([0, -1])).tolist()
    assert known == pytest.approx(float(torch.nn.functional.cross_entropy(logits[:1], torch.tensor([0]))))
    assert unknown == pytest.approx(float(unknown_loss(logits[:1])))


@pytest.mark.parametrize("size", [2, 3])
def test_small_batches_harden_the_estimator_too(tmp_path, size):
    assert run(tmp_path, recipe=replace(RECIPE, batch_size=size, epochs=1, detach_after=0.0), count=6).exists()
    assert off_distribution(torch.rand(0, 3, 32, 32), torch.Generator()).shape == (0, 3, 32, 32)


def test_a_run_that_could_not_begin_leaves_its_folder_free(tmp_path):
    with pytest.raises(ValueError, match="do not fill one batch"):
        run(tmp_path, recipe=replace(RECIPE, batch_size=512))
    with pytest.raises(ValueError, match="is it lcnet_035"):
        run(tmp_path, recipe=replace(RECIPE, backbone="lcnett_035"))
    with pytest.raises(ValueError, match="does not take pictures of 40 pixels"):
        run(tmp_path, recipe=replace(RECIPE, backbone="vit_tiny_patch16_224", image_size=40))
    assert run(tmp_path, recipe=replace(RECIPE, epochs=1)).exists()


def test_a_classifier_needs_images_to_be_judged_by(tmp_path):
    samples = Reds(128)
    with pytest.raises(ValueError, match="1 validation images"):
        train(RECIPE, samples, Reds(1, 1), tmp_path, labels=samples.labels)
    with pytest.raises(ValueError, match="has a label"):
        predict_all(LesionClassifier(Architecture("lcnet_035", ("a", "b"), 32)), [])


def test_sensitivity_is_unknown_without_either_kind():
    score = np.array([0.1, 0.9])
    assert np.isnan(sensitivity_at(score, np.array([True, True]), 0.9))
    assert np.isnan(sensitivity_at(score, np.array([False, False]), 0.9))


def test_a_file_that_holds_no_weights_is_a_sentence(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="no safetensors file"):
        load_backbone(LesionClassifier(Architecture("lcnet_035", ("a", "b"), 32)).backbone, tmp_path / "w.pth")
