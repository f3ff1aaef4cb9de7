"""Inputs that the checks let through: their answers are right, or refused in a sentence."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cfexplain
from cfexplain import PIXELS, Edit, explain, wrap
from cfexplain.attribution import painter
from cfexplain.attribution.agreement import agreement, energy_inside, pointing, top_overlap
from cfexplain.attribution.logits import Logits
from cfexplain.explanation.path import path_of
from cfexplain.explanation.verdict import judge_edits
from cfexplain.generators import DeepImagePrior
from cfexplain.images import load_mask
from cfexplain.restore import DENOISE, denoise
from cfexplain_classifiers import LesionClassifier, fit_estimator, load
from cfexplain_classifiers.batches import BalancedOrder
from cfexplain_classifiers.checkpoint import save
from cfexplain_classifiers.network import Architecture
from toys import Toy, pale_images


def unchanged() -> Edit:
    found = explain(Toy(), pale_images(1), "pale", method=PIXELS)
    assert not bool(found.difference.any())
    return replace(found, mask=torch.ones(1, 1, 32, 32))


def test_nothing_agrees_with_a_change_of_nothing():
    measured = agreement(unchanged(), torch.rand(32, 32))
    assert np.isnan(measured["rank_correlation"])
    assert np.isnan(measured["top_overlap"])


def test_a_map_of_nothing_has_no_top():
    nothing = torch.zeros(32, 32)
    assert top_overlap(nothing, torch.rand(32, 32)) == 0
    assert pointing(nothing, torch.ones(1, 32, 32)) == 0


@pytest.mark.parametrize("name", ["occlusion", "superpixels"])
def test_what_is_taken_away_is_told_in_units_of_the_logit(name):
    """Of a network that sums a picture up, the map is what each part has more than its blur."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    classifier = wrap(network, classes=["a", "b"], image_size=32, mean=(0, 0, 0), std=(1, 1, 1))
    image = torch.zeros(1, 3, 32, 32)
    image[..., 12:20, 12:20] = 1
    found = cfexplain.attribute(classifier, image, 0, name)
    with torch.no_grad():
        whole, none = (float(classifier(x).logits[0, 0]) for x in (image, torch.zeros_like(image)))
    assert float(found.abs().max()) <= 1.01 * abs(whole - none), "no part does more than all of them"


@pytest.mark.parametrize("function", [torch.tanh, nn.functional.gelu])
def test_deep_lift_refuses_a_network_whose_functions_are_no_layers(function):
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.relu, self.last = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2)

        def forward(self, x):
            return self.last(function(3 * self.relu(self.first(x))).mean((2, 3)))

    classifier = wrap(Hidden().eval(), classes=["a", "b"], image_size=32)
    with pytest.raises(ValueError, match="deep-lift cannot read"):
        cfexplain.attribute(classifier, torch.rand(1, 3, 32, 32), 0, "deep-lift")


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


def test_double_pictures_are_restored_in_double():
    method = replace(DENOISE, edit=replace(DENOISE.edit, steps=3), generator=DeepImagePrior((8, 8), (4, 4)))
    assert denoise(torch.rand(1, 3, 32, 32).double(), method=method).image.dtype == torch.float64


@pytest.mark.parametrize("side", [48, 64, 100, 128, 129])
def test_wide_kernels_fit_small_pictures(side):
    prior = DeepImagePrior((4,) * 6, (0,) * 6, kernel_down=5, kernel_up=3)
    query = torch.rand(1, 3, side, side)
    painted = prior.build(query, torch.Generator().manual_seed(0))(prior.draw(query, torch.Generator().manual_seed(0)))
    assert painted.shape == query.shape


def test_grad_cam_reads_the_same_layer_after_an_estimator_was_fitted():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()
    classifier = wrap(network, taps=["1"], classes=["a", "b"], image_size=32)
    batches = [(torch.rand(40, 3, 32, 32), torch.tensor([0, 1] * 20))]
    image = torch.rand(1, 3, 32, 32)
    maps = [cfexplain.attribute(c, image, 0, "gradcam") for c in (classifier, fit_estimator(classifier, batches))]
    torch.testing.assert_close(*maps)


class Transformer(nn.Module):
    """A patch embedding, then tokens by heads, (n, heads, tokens, dim), and channels last, (n, h, w, c)."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, 4)
        self.heads, self.last, self.head = nn.Identity(), nn.Identity(), nn.Linear(6, 2)

    def forward(self, x):
        x = self.patches(x)
        tokens = self.heads(x.flatten(2).transpose(1, 2).unflatten(2, (2, 3)).transpose(1, 2))
        x = self.last(tokens.transpose(1, 2).flatten(2).unflatten(1, (8, 8)))
        return self.head(x.mean((1, 2)))


def test_tokens_and_channels_are_no_map_of_the_picture():
    classifier = wrap(Transformer().eval(), taps=["last"], classes=["a", "b"], image_size=32)
    logits, image = Logits(classifier), torch.rand(1, 3, 32, 32)
    assert logits.layer(None, image) is classifier.module.patches
    for name in ("heads", "last"):
        with pytest.raises(ValueError, match="not answer with a map"):
            logits.layer(name, image)


def test_a_budget_leaves_the_edit_of_an_attribution_some_time(monkeypatch):
    seen = []
    monkeypatch.setattr(painter, "fit_anchors", lambda tasks, deadline: seen.append(deadline) or 1 / 0)
    method = replace(PIXELS, anchor=replace(PIXELS.edit, steps=3))
    began = time.perf_counter()
    with pytest.raises(ZeroDivisionError):
        painter.Painters(method).explain(Toy(), pale_images(1), 1, budget=100.0)
    assert 30 < seen[0] - began < 50


def test_maps_that_are_mostly_zero_share_no_top():
    one, other = torch.zeros(2, 32, 32)
    one[5:8, 5:8], other[20:23, 20:23] = 1, 1
    assert top_overlap(one, other) == 0
    assert top_overlap(one, one) == 1


def test_energy_inside_knows_no_unit():
    found = replace(unchanged(), mask=(torch.arange(32) < 16).float().expand(1, 1, 32, 32).contiguous())
    heatmap = torch.rand(32, 32)
    assert energy_inside(found, heatmap * 1e-9) == pytest.approx(energy_inside(found, heatmap), rel=1e-4)


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


def test_a_map_cannot_take_the_name_of_a_reference():
    found = explain(Toy(), pale_images(1), "red", method=PIXELS)
    with pytest.raises(ValueError, match="edges"):
        cfexplain.compare(found, {"edges": torch.rand(1, 32, 32)}, classifier=Toy())
