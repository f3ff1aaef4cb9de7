"""Calibration: temperature scaling, and class priors taken out of the logits."""

import pytest
import torch
from torch import nn

from cfexplain_classifiers import Architecture, LesionClassifier
from cfexplain_classifiers.calibrate import best_temperature, equalise_priors, predict_all
from cfexplain_classifiers.judgement import calibration_error


def test_the_prior_is_taken_out_of_the_logits():
    network = LesionClassifier(Architecture("lcnet_035", ("a", "b", "c"), 32)).eval()
    images = torch.rand(2, 3, 32, 32)
    before = network(images).logits
    counts = torch.tensor([1000, 100, 10])
    equalise_priors(network, counts, balance=0.5)
    shift = network(images).logits - before
    shares = counts.double().sqrt()
    expected = -(shares / shares.mean()).log()
    torch.testing.assert_close(shift, expected.float().expand(2, 3), atol=1e-5, rtol=1e-4)
    again = LesionClassifier(Architecture("lcnet_035", ("a", "b", "c"), 32)).eval()
    nn.init.zeros_(again.backbone.get_classifier().bias)
    equalise_priors(again, counts, balance=1.0)
    assert float(again.backbone.get_classifier().bias.detach().abs().max()) < 1e-6, "equal draws have no prior"


def test_temperature_undoes_overconfidence():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=rng)
    labels = torch.distributions.Categorical(logits=logits).sample()
    assert best_temperature(logits * 4, labels) == pytest.approx(4, rel=0.2)
    before = calibration_error((logits * 4).softmax(1), labels)
    assert calibration_error(logits.softmax(1), labels) < before


def test_a_classifier_needs_labelled_images_to_be_evaluated():
    network = LesionClassifier(Architecture("lcnet_035", ("a", "b"), 32))
    with pytest.raises(ValueError, match="has a label"):
        predict_all(network, [(torch.rand(2, 3, 32, 32), torch.tensor([-1, -1]))])
