"""Implicit networks fit a lesion well and quickly."""

import math

import pytest
import torch

from cfexplain.generators import FourierNetwork
from cfexplain.generators.implicit import FourierFeatures
from cfexplain_datasets.synthetic import SyntheticLesions


def quality_after(generator, query, learning_rate, steps):
    """Peak signal-to-noise ratio in decibels of a painting fitted to the query."""
    rng = torch.Generator().manual_seed(0)
    module, z = generator.build(query, rng), generator.draw(query, rng)
    optimizer = torch.optim.Adam(module.parameters(), learning_rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (module(z) - query).square().mean().backward()
        optimizer.step()
    return -10 * math.log10(float((module(z) - query).square().mean().detach()))


def test_a_lesion_is_fitted_to_30_decibels_in_100_steps():
    query = SyntheticLesions(1, size=64)[0].image[None]
    assert quality_after(FourierNetwork(), query, 3e-3, steps=100) >= 30


def test_a_larger_scale_paints_finer_detail():
    noise = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    smooth, sharp = (quality_after(FourierNetwork(scale=s), noise, 3e-3, steps=60) for s in (1.0, 12.0))
    assert sharp > smooth + 3


def test_the_same_function_is_painted_at_every_size():
    def painting(size):
        query, rng = torch.zeros(1, 3, size, size), torch.Generator().manual_seed(0)
        return FourierNetwork().build(query, rng)(FourierNetwork().draw(query, rng))

    torch.testing.assert_close(painting(33)[..., ::2, ::2], painting(17))


def test_fourier_features_by_hand():
    features = FourierFeatures(2, 1.0)
    features.matrix = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    expected = torch.tensor([1.0, 0.0, 0.0, -1.0])
    torch.testing.assert_close(features(torch.tensor([0.25, 0.25])), expected, atol=1e-6, rtol=0)


def test_only_the_weights_are_trained_and_their_frequencies_follow_the_seed():
    def matrix(seed):
        network = FourierNetwork().build(torch.zeros(1, 3, 8, 8), torch.Generator().manual_seed(seed))
        assert not any(name.endswith("matrix") for name, _ in network.named_parameters())
        return network.state_dict()["hidden.0.matrix"]

    assert torch.equal(matrix(0), matrix(0))
    assert not torch.equal(matrix(0), matrix(1))
    assert float(matrix(0).std()) == pytest.approx(6, rel=0.15)
