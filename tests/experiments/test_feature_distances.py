"""Ranks and distances among real images, by hand."""

import pytest
import torch
from feature_distances import knn_distance, percentile_among, pooled

from toys import Toy, pale_images


def test_percentiles_are_mid_ranks():
    reference = torch.tensor([4.0, 1.0, 2.0, 2.0, 3.0])
    values = torch.tensor([0.0, 1.0, 2.0, 2.5, 4.0, 5.0])
    torch.testing.assert_close(percentile_among(values, reference), torch.tensor([0.0, 10, 40, 60, 90, 100]))
    torch.testing.assert_close(percentile_among(values, torch.ones(3)), torch.tensor([0.0, 50, 100, 100, 100, 100]))


def test_percentiles_of_the_reference_itself_average_fifty():
    values = torch.rand(101, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(percentile_among(values, values).mean(), torch.tensor(50.0))


def test_distances_are_in_standard_deviations_of_the_reference():
    reference = torch.tensor([[0.0, 0.0], [2.0, 40.0]])  # standard deviations 1 and 20
    features = torch.tensor([[0.0, 0.0], [1.0, 20.0], [3.0, 80.0]])
    root = 2**0.5
    expected = torch.tensor([0.0, root, 5**0.5])
    torch.testing.assert_close(knn_distance(features, reference, k=1), expected)
    torch.testing.assert_close(knn_distance(features[:1], reference, k=2), torch.tensor([root]))


def test_a_dimension_without_spread_keeps_its_unit():
    reference = torch.tensor([[0.0, 7.0], [2.0, 7.0]])
    torch.testing.assert_close(knn_distance(torch.tensor([[0.0, 10.0]]), reference, k=1), torch.tensor([3.0]))


def test_another_order_gives_the_same_distances():
    rng = torch.Generator().manual_seed(0)
    features, reference = torch.randn(5, 3, generator=rng), torch.randn(9, 3, generator=rng)
    torch.testing.assert_close(knn_distance(features.flip(0), reference), knn_distance(features, reference).flip(0))
    torch.testing.assert_close(knn_distance(features, reference.flip(0)), knn_distance(features, reference))


def test_pooling_takes_maps_tokens_and_vectors_and_keeps_no_gradient():
    maps = torch.arange(8.0).view(1, 2, 2, 2).requires_grad_()
    tokens = torch.tensor([[[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]])
    vector = pooled([maps, tokens, torch.tensor([[9.0]])])
    assert vector.tolist() == [[1.5, 5.5, 2.0, 3.0, 4.0, 9.0]]
    assert not vector.requires_grad
    assert pooled(Toy()(pale_images(2)).features).shape == (2, 20)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="no held-out values"):
        percentile_among(torch.ones(1), torch.ones(0))
    with pytest.raises(ValueError, match="undefined"):
        percentile_among(torch.tensor([float("nan")]), torch.ones(2))
    with pytest.raises(ValueError, match="between 1 and the 2"):
        knn_distance(torch.ones(1, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match="3 dimensions but the reference 4"):
        knn_distance(torch.ones(1, 3), torch.ones(9, 4))
    with pytest.raises(ValueError, match="taps"):
        pooled(())
    with pytest.raises(ValueError, match="a tap must have shape"):
        pooled([torch.ones(2)])
