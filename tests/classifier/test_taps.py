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


class Named(nn.Module):
    """Answers with a dictionary, a tuple or a tensor, by what it is given."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, given):
        return self.answer(given)


def test_of_a_layer_with_several_outputs_the_first_tensor_is_the_feature():
    pair, first = Named(lambda x: (2 * x, x)), Named(lambda pair: pair[0].mean((2, 3))[:, :2])
    classifier = wrap(nn.Sequential(pair, first).eval(), taps=["0"], classes=["a", "b"], image_size=32, mean=0, std=1)
    torch.testing.assert_close(classifier(pale_images(1)).features[0], 2 * pale_images(1))


def test_a_tap_without_a_tensor_is_refused():
    worded, opened = Named(lambda x: {"hidden": x}), Named(lambda found: found["hidden"].mean((2, 3))[:, :2])
    classifier = wrap(nn.Sequential(worded, opened).eval(), taps=["0"], classes=["a", "b"], image_size=32)
    with pytest.raises(TypeError, match="give a tensor"):
        classifier(pale_images(1))


def test_classes_have_different_names_and_are_text():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)).eval()
    assert wrap(network, classes=[0, 1, 2], mean=0, std=1).classes == ("0", "1", "2")
    with pytest.raises(ValueError, match="crane is there more than once"):
        wrap(network, classes=["crane", "maillot", "crane"])
