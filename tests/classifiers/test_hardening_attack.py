"""Attacks stay near, raise the loss, and leave the network as it was."""

import pytest
import torch
import torch.nn.functional as F

from cfexplain_classifiers import Architecture, LesionClassifier
from cfexplain_classifiers.hardening import attack

IMAGES = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(8) % 2


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LesionClassifier(Architecture("lcnet_035", ("dull", "red"), 32))
        torch.nn.init.normal_(network.backbone.get_classifier().weight)
        for _ in range(30):  # normalisation learns its statistics, or every image looks the same to it
            network.taps(IMAGES)
    return network


def attacked(network, epsilon=0.03, steps=1, seed=0):
    return attack(network, IMAGES, LABELS, epsilon, torch.Generator().manual_seed(seed), steps=steps)


def loss(network, images):
    with torch.no_grad():
        return F.cross_entropy(network.eval().taps(images)[0], LABELS, reduction="none")


@pytest.mark.parametrize("steps", [1, 5])
def test_it_stays_near_and_raises_the_loss(network, steps):
    images = attacked(network, 0.03, steps)
    assert float((images - IMAGES).abs().max()) <= 0.03 + 1e-6
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    noise = (IMAGES + 0.03 * torch.randn(IMAGES.shape).sign()).clamp(0, 1)
    assert float(loss(network, images).mean()) > float(loss(network, noise).mean())
    assert float((loss(network, images) > loss(network, IMAGES)).float().mean()) > 0.8


def test_each_image_may_have_its_own_distance(network):
    epsilon = torch.linspace(0, 0.07, 8)[:, None, None, None]
    change = (attacked(network, epsilon) - IMAGES).abs().amax(dim=(1, 2, 3))
    assert bool((change <= epsilon.flatten() + 1e-6).all())
    assert float(change[0]) == 0
    assert float(change[-1]) > 0.06


def test_the_start_follows_the_generator(network):
    state = torch.random.get_rng_state()
    assert torch.equal(attacked(network, seed=0), attacked(network, seed=0))
    assert not torch.equal(attacked(network, seed=0), attacked(network, seed=1))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(network, training):
    network.train(training)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    attacked(network)
    assert network.backbone.training == network.estimator.training == training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items()), "running statistics moved"
    assert all(p.grad is None for p in network.parameters())
