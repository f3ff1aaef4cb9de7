"""What seeds share, by hand."""

import pytest
import torch

from cfexplain.explanation.metrics.seeds import agreement_map, noise_floor, seed_agreement
from edits import edit_of, follows_the_order, random_edit, reordered


def rows(*indices, value=0.2, size=10):
    """An edit that changes these rows of a picture of ten by ten: one row is a tenth."""
    made = torch.zeros(1, 3, size, size)
    made[:, :, list(indices)] = value
    return edit_of(made)


def test_seeds_that_change_the_same_pixels_agree():
    assert seed_agreement([rows(3), rows(3, value=-0.1), rows(3)]).tolist() == [1.0]
    assert seed_agreement([rows(3), rows(4)]).tolist() == [0.0]


def test_agreement_is_the_mean_over_pairs():
    half = rows(3)
    half.painted = half.painted.clone()
    half.painted[..., 3, 5:], half.painted[..., 4, 5:] = 0.5, 0.8  # five pixels of row 3, five of row 4
    torch.testing.assert_close(seed_agreement([rows(3), rows(3), half]), torch.tensor([(1 + 1 / 3 + 1 / 3) / 3]))


def test_only_the_strongest_tenth_counts():
    strong = rows(3, 5, 6)
    strong.painted = strong.painted.clone()
    strong.painted[..., 3, :] += 0.1
    assert seed_agreement([strong, rows(3)]).tolist() == [1.0]


def test_the_map_is_the_share_of_seeds():
    shares = agreement_map([rows(3), rows(3), rows(4)])
    assert shares.shape == (1, 1, 10, 10)
    torch.testing.assert_close(shares[0, 0, :, 0], torch.tensor([0, 0, 0, 2 / 3, 1 / 3, 0, 0, 0, 0, 0]))


def test_seeds_that_change_nothing():
    nothing = edit_of(torch.zeros(1, 3, 10, 10))
    assert seed_agreement([nothing, nothing]).tolist() == [0.0]
    assert agreement_map([nothing, nothing]).max() == 0


def test_noise_floor_by_hand():
    first, second = torch.zeros(2, 3, 10, 10), torch.zeros(2, 3, 10, 10)
    second[0, 0, 5, 5] = 0.75  # 0.25 over channels, over a square of 25 pixels
    second[1] = 0.1
    floor = noise_floor([first, second])
    assert floor.shape == (2, 1, 10, 10)
    torch.testing.assert_close(floor[0, 0, 3:8, 3:8], torch.full((5, 5), 0.01))
    assert float(floor[0].sum()) == pytest.approx(0.25)
    torch.testing.assert_close(floor[1], torch.full((1, 10, 10), 0.1))
    torch.testing.assert_close(noise_floor([first, second, first]), floor * 2 / 3)


@pytest.mark.parametrize("measure", [seed_agreement, agreement_map])
def test_another_order_of_images_or_seeds(measure):
    first, second = random_edit(seed=1), random_edit(seed=2)
    order = [3, 2, 1, 0]
    torch.testing.assert_close(measure([second, first]), measure([first, second]))
    assert follows_the_order(lambda e: measure([e, first if e is second else reordered(first, order)]), second)
