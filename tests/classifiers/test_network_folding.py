"""Batch-norm folding keeps predictions and gradients, and leaves the original unchanged."""

import pytest
import torch
from torch import nn

from cfexplain_classifiers import Architecture, LesionClassifier, load
from cfexplain_classifiers.network import folded


def unsettled(backbone):
    """A network with running statistics other than the initial ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LesionClassifier(Architecture(backbone, ("a", "b", "c"), 64)).train()
        for _ in range(3):
            network(torch.rand(8, 3, 64, 64))
        nn.init.normal_(network.backbone.get_classifier().weight)
    return network.eval()


def norms(network):
    return sum(isinstance(m, nn.BatchNorm2d) for m in network.backbone.modules())


@pytest.mark.parametrize("backbone", ["mobilenetv2_100", "mobilenetv3_small_050", "lcnet_050", "resnet10t"])
def test_predictions_features_and_gradients_are_the_same(backbone):
    network = unsettled(backbone)
    quick = folded(network)
    assert norms(quick) < norms(network)
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours, theirs = quick(image), network(image)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ours.loss, theirs.loss, atol=1e-3, rtol=1e-3)
    for a, b in zip(ours.features, theirs.features, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    gradients = [torch.autograd.grad(p.logits[:, 0].sum(), image)[0] for p in (ours, theirs)]
    assert float(nn.functional.cosine_similarity(*(g.flatten() for g in gradients), dim=0)) > 0.999


def test_the_original_is_left_as_it_was():
    network = load("synthetic")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    folded(network)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert norms(network) > 0


class Crossed(nn.Module):
    """Runs its batch norm before its convolution, although they are registered the other way round."""

    def __init__(self, stem):
        super().__init__()
        self.filter = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        self.stem = stem
        nn.init.constant_(self.norm.running_mean, 0.7)

    def forward(self, images):
        return self.stem(self.filter(self.norm(images)))


def test_layers_that_do_not_follow_each_other_are_not_folded():
    network = unsettled("lcnet_050")
    network.backbone.conv_stem = Crossed(network.backbone.conv_stem)
    network.eval()
    assert folded(network) is network
