"""The ABCD measures against drawn shapes and the true factors of synthetic lesions."""

import math

import pandas as pd
import pytest
import torch

from cfexplain.dermoscopy.abcd import COLOURS, describe
from cfexplain.dermoscopy.segment import segment
from cfexplain_datasets.synthetic import SyntheticLesions
from shapes import BLACK, BROWN, COLUMNS, COMMA, DISC, ELLIPSE, HALF, ROWS, SKIN, STAR, picture


def seen(mask, colour=BROWN):
    return describe(picture(mask, colour), mask.float())


def blurred(image):
    kernel = torch.ones(3, 1, 7, 7) / 49
    padded = torch.nn.functional.pad(image[None], (3, 3, 3, 3), mode="reflect")
    return torch.nn.functional.conv2d(padded, kernel, groups=3)[0]


def test_a_disc_is_symmetric_smooth_and_of_its_size():
    disc = seen(DISC)
    assert disc.asymmetry < 0.02
    assert disc.colour_asymmetry < 1
    assert disc.irregularity == pytest.approx(1, abs=0.04)
    assert disc.diameter == pytest.approx(72 / 128, abs=0.01)
    assert disc.pixels == pytest.approx(72, abs=1)


def test_an_ellipse_is_as_smooth_and_symmetric_as_a_disc_however_it_lies():
    turned = (((ROWS + COLUMNS) / 2**0.5 / 24) ** 2 + ((ROWS - COLUMNS) / 2**0.5 / 48) ** 2 < 1)[None]
    for shape in (ELLIPSE, turned):
        assert seen(shape).asymmetry < 0.03
        assert seen(shape).irregularity == pytest.approx(1, abs=0.05)


def test_shapes_are_ordered_as_eyes_order_them():
    assert seen(STAR).irregularity > 1.5 > 1.15 > seen(COMMA).irregularity
    assert seen(COMMA).asymmetry > 0.04 > 2 * seen(DISC).asymmetry
    half = HALF & (ROWS < 12)
    assert seen(half).asymmetry > 0.05


def test_a_half_disc_is_symmetric_about_one_axis_only():
    # Mirrored along its straight side it loses 1 - 2 (overlap of two half discs at their centroid) of its area.
    assert 0.03 < seen(HALF).asymmetry < 0.25


def test_a_half_black_half_brown_disc_has_two_colours_and_is_asymmetric_in_colour_only():
    mixed = describe(torch.where(HALF, BLACK, picture(DISC)), DISC.float())
    assert mixed.colours == 2
    assert mixed.shares["black"] == pytest.approx(0.5, abs=0.03)
    assert mixed.shares["dark_brown"] == pytest.approx(0.5, abs=0.03)
    assert mixed.asymmetry < 0.02
    assert mixed.colour_asymmetry > 5 + seen(DISC).colour_asymmetry
    assert mixed.inhomogeneity > 5 + seen(DISC).inhomogeneity
    assert mixed.darkness > seen(DISC).darkness + 0.05


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("white", (0.95, 0.90, 0.92)),
        ("red", (0.78, 0.42, 0.50)),
        ("light_brown", (0.76, 0.50, 0.40)),
        ("dark_brown", (0.42, 0.24, 0.20)),
        ("blue_grey", (0.32, 0.36, 0.50)),
        ("black", (0.10, 0.10, 0.12)),
    ],
)
def test_each_colour_of_the_rule_is_named_on_every_skin_and_in_every_light(name, colour):
    for light in (torch.ones(3), torch.tensor([0.85, 0.9, 1.0])):
        image = picture(DISC, torch.tensor(colour)[:, None, None]) * light[:, None, None]
        shares = describe(image, DISC.float()).shares
        assert max(shares, key=shares.get) == name
        assert shares[name] > 0.9


def test_skin_is_no_colour_of_the_lesion():
    shares = describe(SKIN.expand(3, 128, 128), DISC.float()).shares
    assert sum(shares.values()) == 0


def test_a_sharp_border_is_more_abrupt_than_a_blurred_one_and_darkness_does_not_matter():
    sharp, soft, dark = picture(DISC), blurred(picture(DISC)), picture(DISC, BLACK)
    found = [describe(image, DISC.float()).abruptness for image in (sharp, soft, dark)]
    assert found[0] > 1.3 * found[1]
    assert found[2] == pytest.approx(found[0], rel=0.15)


def test_measures_do_not_depend_on_the_resolution():
    large = torch.nn.functional.interpolate(picture(STAR)[None], scale_factor=2)[0]
    mask = torch.nn.functional.interpolate(STAR[None].float(), scale_factor=2)[0]
    small, big = seen(STAR), describe(large, mask)
    assert big.diameter == pytest.approx(small.diameter, rel=0.01)
    assert big.pixels == pytest.approx(2 * small.pixels, rel=0.01)
    assert big.irregularity == pytest.approx(small.irregularity, rel=0.1)
    assert big.darkness == pytest.approx(small.darkness, rel=0.02)


@pytest.mark.parametrize("mask", [torch.ones(1, 64, 64), torch.nn.functional.pad(torch.ones(1, 1, 1), (9, 54, 9, 54))])
def test_masks_of_everything_and_of_one_pixel_are_described(mask):
    numbers = describe(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)), mask).numbers()
    assert all(math.isfinite(value) for value in numbers.values())


def test_masks_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match="empty"):
        describe(picture(DISC), torch.zeros(1, 128, 128))
    with pytest.raises(ValueError, match="shape"):
        describe(picture(DISC), torch.ones(1, 64, 64))


@pytest.fixture(scope="module")
def painted():
    """Measures of synthetic lesions within their true outline, beside the factors that painted them."""
    lesions = SyntheticLesions(60, size=64, split="test")
    pictures = list(lesions)
    truth = lesions.table.reset_index(drop=True)
    return pd.DataFrame([describe(p.image, p.mask).numbers() for p in pictures]), truth, pictures


@pytest.mark.parametrize(
    ("measure", "factor", "least"),
    [
        ("asymmetry", "asymmetry", 0.55),
        ("colour_asymmetry", "colour_spread", 0.5),
        ("irregularity", "border", 0.7),
        ("abruptness", "border", 0.65),
        ("diameter", "diameter", 0.95),
        ("red", "red", 0.6),
        ("dark_brown", "dark_brown", 0.3),
        ("blue_grey", "blue_grey", 0.45),
        ("black", "black", 0.6),
    ],
)
def test_measures_follow_the_true_factors(painted, measure, factor, least):
    measured, truth, _ = painted
    assert measured[measure].corr(truth[factor], method="spearman") > least
    # and no measure follows a factor that has nothing to do with it.
    assert abs(measured[measure].corr(truth["rotation"], method="spearman")) < 0.4


def test_the_number_of_colours_follows_the_colours_painted(painted):
    measured, truth, _ = painted
    count = (truth[list(COLOURS)] > 0.3).sum(axis=1)
    assert measured["colours"].corr(count, method="spearman") > 0.6


def test_shape_is_still_seen_within_the_found_outline(painted):
    _, truth, pictures = painted
    found = segment(torch.stack([p.image for p in pictures]))
    measured = pd.DataFrame([describe(p.image, m).numbers() for p, m in zip(pictures, found, strict=True)])
    for measure, factor, least in (("asymmetry", "asymmetry", 0.3), ("irregularity", "border", 0.3)):
        assert measured[measure].corr(truth[factor], method="spearman") > least
