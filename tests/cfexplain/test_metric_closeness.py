"""Distances from the query among real images, by hand."""

import math

import pytest
import torch

from cfexplain.explanation.metrics.closeness import feature_cosine, latent_divergence

QUERY = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
TARGET = torch.tensor([[3.0, 4.0], [0.0, 20.0]])  # from the first query 5 and 20
SOURCE = torch.tensor([[0.0, 1.0], [0.0, 6.0], [8.0, 0.0], [0.0, 9.0]])  # 1, 6, 8, 9


def test_divergence_by_hand():
    shown = QUERY + torch.tensor([7.0, 0.0])
    by_hand = [
        math.log(0.8 * math.exp(1 / 2) + 0.2 * math.exp(2 / 4)),  # 5 is nearer; 8 and 9 are farther
        math.log(0.8 * math.exp(0) + 0.2 * math.exp(3 / 4)),  # 8.06 and 22.4; 10.05, 11.7, 2, 13.5
    ]
    torch.testing.assert_close(
        latent_divergence(QUERY, shown, target_class=TARGET, source_class=SOURCE), torch.tensor(by_hand)
    )


def test_no_change_at_all_and_another_order():
    still = latent_divergence(QUERY, QUERY, target_class=TARGET, source_class=SOURCE)
    torch.testing.assert_close(still, torch.full((2,), math.log(0.8 + 0.2 * math.e)))
    shown = QUERY + 7
    forward = latent_divergence(QUERY, shown, target_class=TARGET, source_class=SOURCE)
    back = latent_divergence(QUERY.flip(0), shown.flip(0), target_class=TARGET, source_class=SOURCE)
    torch.testing.assert_close(back.flip(0), forward)


def test_cosine_by_hand():
    first, second = (
        torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]]),
        torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]]),
    )
    torch.testing.assert_close(feature_cosine(first, second), torch.tensor([1.0, 0.5**0.5, 0.0]))


def test_a_class_without_images_is_refused():
    with pytest.raises(ValueError, match="one class has none"):
        latent_divergence(QUERY, QUERY, target_class=TARGET[:0], source_class=SOURCE)
