"""Inputs that the checks let through: their answers are right, or refused in a sentence."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cfexplain
from cfexplain import PIXELS, explain, wrap
from cfexplain.explanation.path import path_of
from cfexplain.explanation.verdict import judge_edits
from cfexplain.generators import DeepImagePrior
from cfexplain.images import load_mask
from cfexplain_classifiers import LesionClassifier, load
from cfexplain_classifiers.batches import BalancedOrder
from cfexplain_classifiers.checkpoint import save
from cfexplain_classifiers.network import Architecture
from toys import Toy, pale_images


def test_unlabelled_samples_do_not_count_as_the_first_class():
    order = BalancedOrder([0] * 100 + [1] * 100 + [-1] * 800, 1.0, 0)
    drawn = torch.tensor([0] * 100 + [1] * 100 + [-1] * 800)[list(order)]
    assert 400 < int((drawn == 0).sum()) < 600
    assert not bool((drawn < 0).any())


def test_a_dot_in_a_checkpoints_name_is_part_of_it(tmp_path):
    network = LesionClassifier(Architecture("mobilenetv2_050", ("a", "b"), 32))
    first, second = (save(network, tmp_path / name) for name in ("lesion-0.1", "lesion-0.2"))
    assert first != second
    assert len(list(tmp_path.glob("*.safetensors"))) == len(list(tmp_path.glob("*.json"))) == 2


def test_loading_a_classifier_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    load("synthetic")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_deep_mask_is_halved_at_its_own_brightest(tmp_path):
    deep = np.zeros((32, 32), np.uint16)
    deep[:16], deep[16:24] = 65535, 1000
    Image.fromarray(deep).save(tmp_path / "mask.png")
    assert float(load_mask(tmp_path / "mask.png").mean()) == 0.5


@pytest.mark.parametrize("side", [48, 64, 100, 128, 129])
def test_wide_kernels_fit_small_pictures(side):
    prior = DeepImagePrior((4,) * 6, (0,) * 6, kernel_down=5, kernel_up=3)
    query = torch.rand(1, 3, side, side)
    painted = prior.build(query, torch.Generator().manual_seed(0))(prior.draw(query, torch.Generator().manual_seed(0)))
    assert painted.shape == query.shape


def test_classes_have_different_names_and_are_text():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)).eval()
    assert wrap(network, classes=[0, 1, 2], mean=0, std=1).classes == ("0", "1", "2")
    with pytest.raises(ValueError, match="crane is there more than once"):
        wrap(network, classes=["crane", "maillot", "crane"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_verdict_on_a_classifier_of_another_precision(dtype):
    classifier = Toy().to(dtype)
    found = explain(classifier, pale_images(1).to(dtype), "red", method=PIXELS)
    (verdict,) = judge_edits(found, classifier, {"oracle": Toy(1), "double": Toy(2).double()})
    assert set(verdict.oracles) == {"oracle", "double"}
    assert cfexplain.attribute(classifier, found.query, 0, "smoothgrad").isfinite().all()


def test_the_path_of_a_wide_picture_is_wide(tmp_path):
    found = explain(Toy(), torch.nn.functional.interpolate(pale_images(1), (32, 96)), "red", method=PIXELS)
    (tmp_path / "path.gif").write_bytes(path_of(found, Toy(), frames=4).gif())
    with Image.open(tmp_path / "path.gif") as animation:
        assert animation.size == (256, 85)


def test_names_are_no_formulas(tmp_path):
    class Priced(Toy):
        classes = ("$10_$", "_over $10")

    found = explain(Priced(), pale_images(1), "_over $10", method=PIXELS)
    cfexplain.save(cfexplain.describe(found, Priced()), tmp_path / "one")
    figure = path_of(found, Priced(), frames=4).plot()
    named = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert [name.replace("\\", "").strip() for name in named] == ["$10_$", "_over $10"]
    figure.savefig(tmp_path / "path.png")
