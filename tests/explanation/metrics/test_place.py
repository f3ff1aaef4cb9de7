"""Where the change is: regions, tint, density, each against numbers worked out by hand."""

import pytest
import torch

from cfexplain.explanation.metrics.place import area_lift, changed_regions, colour_shift, largest_region_share
from edits import edit_of, follows_the_order, random_edit


def change(*squares, size=8):
    """Squares (top, left, side, height of the change in all channels) on nothing."""
    made = torch.zeros(1, 3, size, size)
    for top, left, side, value in squares:
        made[..., top : top + side, left : left + side] = value
    return made


def test_two_regions_share_the_energy_by_hand():
    edit = edit_of(change((0, 0, 2, 0.1), (5, 5, 1, 0.2)))  # 4 pixels of 0.01 and one of 0.04
    torch.testing.assert_close(largest_region_share(edit), torch.tensor([0.5]))
    assert changed_regions(edit).tolist() == [2]


def test_pixels_that_share_a_corner_are_one_region():
    edit = edit_of(change((0, 0, 1, 0.1), (1, 1, 1, 0.3)))
    assert changed_regions(edit).tolist() == [1]
    torch.testing.assert_close(largest_region_share(edit), torch.tensor([1.0]))


def test_the_invisible_part_of_a_change_is_in_no_region():
    edit = edit_of(change((0, 0, 8, 0.01), (0, 0, 1, 0.1)))  # 63 of 0.0001 and one of 0.01
    torch.testing.assert_close(largest_region_share(edit), torch.tensor([0.01 / 0.0163]))


def test_a_tint_is_all_cast_and_a_lesion_none():
    tint = torch.tensor([0.1, -0.05, 0.0])[None, :, None, None].expand(1, 3, 8, 8)
    torch.testing.assert_close(colour_shift(edit_of(tint)), torch.tensor([1.0]))
    assert colour_shift(edit_of(change((1, 1, 6, 0.2)))).tolist() == [0.0]


def test_a_lesion_that_fills_more_than_half_is_no_cast():
    large = change((0, 0, 6, -0.2), (0, 6, 2, -0.2))  # 40 pixels of 64
    assert colour_shift(edit_of(large)).tolist() == [0.0]


def test_a_tint_under_a_changed_lesion_is_counted_by_itself():
    edit = edit_of(change((0, 0, 8, 0.1), (0, 0, 2, 0.3)))  # 60 of 0.01, 4 of 0.09; without the tint 4 of 0.04
    torch.testing.assert_close(colour_shift(edit), torch.tensor([1 - 0.16 / 0.96]))


def test_noise_about_a_tint_is_mostly_tint_and_noise_alone_is_none():
    noise = 0.02 * torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(colour_shift(edit_of(noise))) < 1e-3
    assert float(colour_shift(edit_of(noise + 0.1))) > 0.9


def test_lift_is_density_against_area():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :4] = 1
    everywhere, inside = change((0, 0, 8, 0.1)), change((0, 0, 2, 0.1))
    torch.testing.assert_close(area_lift(edit_of(everywhere, mask=mask)), torch.tensor([1.0]))
    torch.testing.assert_close(area_lift(edit_of(inside, mask=mask)), torch.tensor([4.0]))
    assert area_lift(edit_of(inside)) is None
    assert area_lift(edit_of(inside, mask=torch.zeros_like(mask))).tolist() == [0.0]


@pytest.mark.parametrize("metric", [largest_region_share, changed_regions, colour_shift], ids=lambda m: m.__name__)
def test_nothing_changed_and_another_order(metric):
    assert metric(edit_of(torch.zeros(2, 3, 8, 8))).tolist() == [0.0, 0.0]
    assert follows_the_order(metric, random_edit())
