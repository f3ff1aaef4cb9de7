"""What the command line finds: classifiers by name, their cards, training and evaluation."""

import numpy as np
import pytest
import torch
from torch import nn

from cfexplain_classifiers import Card, load, plugin
from reds import Reds


def test_shipped_classifiers_are_loaded_folded():
    network = plugin.load("synthetic")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(images).logits, load("synthetic")(images).logits, atol=1e-3, rtol=1e-3)
    assert set(plugin.NAMES) >= {"synthetic", "ham10000"}


def test_cards_describe_classifiers():
    card = plugin.card("ham10000")
    assert "CC BY-NC" in card["licence"]
    assert card["architecture"]["image_size"] == 128
    assert "mel" in card["architecture"]["classes"]
    with pytest.raises(ValueError, match="there is no classifier nowhere"):
        plugin.card("nowhere")


def test_a_recipe_is_trained_and_judged(tmp_path):
    recipe = {"backbone": "lcnet_035", "image_size": 32, "epochs": 1, "batch_size": 16, "workers": 0}
    sizes, lines = [], []

    def augment(size):
        sizes.append(size)
        return lambda image, seed: np.ascontiguousarray(image[:size, :size])

    card = Card(data="reds", licence="CC0")
    path = plugin.train(recipe, (Reds(32), Reds(8, 1)), tmp_path, augment, card=card, progress=lines.append)
    assert (sizes, len(lines)) == ([32], 1)
    assert plugin.card(str(tmp_path))["licence"] == "CC0"
    assert path == tmp_path / "classifier.safetensors"
    judgement = plugin.judge(str(tmp_path), Reds(20, 2))
    assert judgement["n"] == 20
    assert set(judgement["out_of_distribution"]) == {"photographs", "inverted colours", "white noise", "mean"}
    with pytest.raises(ValueError, match="the classifier knows benign, malignant, the data set dull, red"):
        plugin.judge("synthetic", Reds(20, 2))
