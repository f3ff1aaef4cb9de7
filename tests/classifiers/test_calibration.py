"""Equal priors: a classifier trained on unequal classes answers as if they were equal."""

import torch
from torch import nn

from cfexplain_classifiers import Architecture, LesionClassifier
from cfexplain_classifiers.calibrate import equalise_priors


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
    assert float(again.backbone.get_classifier().bias.abs().max()) < 1e-6, "equal draws have no prior to remove"
