"""Taps: features of a wrapped network are those of the layer, and of one tensor."""

import pytest
import torch
from torch import nn

from cfexplain import wrap
from toys import pale_images


def test_a_tap_is_not_overwritten_by_what_comes_behind_it():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    classifier = wrap(network, taps=["0"], classes=list("abcd"), image_size=32, mean=(0, 0, 0), std=(1, 1, 1))
    images = pale_images(1)
    before = network[0](images)
    assert float(before.detach().min()) < 0, "the layer behind it would show"
    torch.testing.assert_close(classifier(images).features[0], before)


def test_a_tap_of_several_tensors_is_refused():
    network = nn.Sequential(nn.Flatten(2), nn.Flatten(0, 1), nn.LSTM(1024, 2)).eval()
    classifier = wrap(network, taps=["2"], classes=["a", "b"], image_size=32)
    with pytest.raises(TypeError, match="one tensor"):
        classifier(pale_images(1))


def test_classes_have_different_names_and_are_text():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)).eval()
    assert wrap(network, classes=[0, 1, 2], mean=0, std=1).classes == ("0", "1", "2")
    with pytest.raises(ValueError, match="crane is there more than once"):
        wrap(network, classes=["crane", "maillot", "crane"])
