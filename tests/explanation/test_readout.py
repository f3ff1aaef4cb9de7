"""The lesion in numbers, and its change in words."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from cfexplain.dermoscopy.abcd import COLOURS, Appearance, describe
from cfexplain.dermoscopy.segment import segment
from cfexplain.explanation.readout import NOISE, SPREAD, Readout, least_change, readout
from cfexplain.images import square
from cfexplain_datasets import open_dataset
from cfexplain_datasets.synthetic import SyntheticLesions

SKIN = torch.tensor([0.84, 0.63, 0.67])[:, None, None]
BROWN = torch.tensor([0.45, 0.28, 0.25])[:, None, None]
BLACK = torch.tensor([0.12, 0.11, 0.13])[:, None, None]
BLUE_GREY = torch.tensor([0.32, 0.36, 0.50])[:, None, None]
MEASURED = Path(__file__).parents[2] / "experiments" / "results" / "readout_check" / "constants.json"

ROWS, COLUMNS = torch.meshgrid(torch.arange(128) - 63.5, torch.arange(128) - 63.5, indexing="ij")
DISTANCE, ANGLE = torch.hypot(ROWS, COLUMNS), torch.atan2(ROWS, COLUMNS)
DISC = (DISTANCE < 36)[None]
HALF = DISC & (COLUMNS > 0)
ELLIPSE = ((ROWS / 24) ** 2 + (COLUMNS / 48) ** 2 < 1)[None]
STAR = (DISTANCE - 34 * (1 + 0.35 * torch.cos(7 * ANGLE)) < 0)[None]
COMMA = DISC | (((ROWS - 30) ** 2 + (COLUMNS - 22) ** 2 < 18**2)[None])


def picture(mask, colour=BROWN):
    return torch.where(mask, colour, SKIN)


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
    with pytest.raises(ValueError, match="differ in size"):
        readout(picture(DISC), picture(DISC)[:, :64])


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


@pytest.mark.parametrize("mask", [None, STAR.float(), DISC.float(), HALF.float()])
def test_a_picture_beside_itself_has_not_changed_whatever_mask_is_given(mask):
    same = readout(picture(STAR), picture(STAR), mask)
    assert set(same.change.values()) == {0.0}
    assert same.standing_out == ()
    assert same.inside is None
    assert "the same" in same.qualification


def test_a_rough_given_mask_makes_no_difference_that_the_edit_did_not_make():
    rough = (DISTANCE < 40)[None].float()
    darker = picture(DISC, BROWN * 0.8)
    with_mask, without = (readout(picture(DISC), darker, mask) for mask in (rough, None))
    for found in (with_mask, without):
        assert not found.outline_held
        assert abs(found.change["diameter"]) < 0.02
        assert abs(found.change["irregularity"]) < 0.05
        assert found.change["darkness"] > 0.04


def test_what_lies_far_from_a_given_mask_is_not_lesion():
    limb = DISC | ((ROWS.abs() < 6) & (COLUMNS > 0) & (COLUMNS < 62))[None]
    free, bound = (readout(picture(limb), picture(limb), mask) for mask in (None, DISC.float()))
    assert bound.before.diameter < free.before.diameter
    assert bound.before.irregularity < free.before.irregularity


def test_a_mask_that_nothing_matches_holds_the_outline():
    elsewhere = ((ROWS > 40) & (COLUMNS > 40))[None].float()
    held = readout(picture(DISC), picture(STAR), elsewhere)
    assert held.outline_held
    assert held.change["diameter"] == held.change["irregularity"] == 0
    assert "One outline served both" in held.qualification


def test_a_lesion_that_fades_away_keeps_its_outline_and_loses_its_contrast():
    gone = readout(picture(DISC), SKIN.expand(3, 128, 128))
    assert gone.outline_held
    assert gone.after.contrast < 1 < gone.before.contrast
    assert "lighter" in gone.finding("mel", "nv") or "weaker" in gone.finding("mel", "nv")


def test_the_shape_of_a_lesion_that_the_picture_cuts_off_is_not_spoken_of():
    cut, star = picture(DISC)[..., 40:], picture(STAR)[..., 40:]
    square_off = [torch.nn.functional.interpolate(x[None], (128, 128))[0] for x in (cut, star)]
    made = readout(*square_off)
    assert made.cut_off
    assert not {"irregularity", "asymmetry"} & set(made.standing_out)
    assert "its shape is not compared" in made.qualification
    assert not readout(picture(DISC), picture(STAR)).cut_off


def test_words_name_a_new_border_and_a_new_colour():
    patch = STAR & (DISTANCE < 14)[None]
    made = readout(picture(DISC), torch.where(patch, BLUE_GREY, picture(STAR)))
    assert {"irregularity", "blue_grey"} <= set(made.standing_out)
    said = made.finding("nv", "mel", most=5)
    assert said.startswith("The prediction flips from nv to mel when ")
    assert "more irregular" in said
    assert "a blue-grey area appears on " in said
    assert "does not reach mel from nv although" in made.finding("nv", "mel", flipped=False)


def test_the_reverse_edit_is_said_in_reverse():
    back = readout(picture(STAR), picture(DISC)).finding("mel", "nv")
    assert "more regular" in back


def test_no_more_than_asked_is_said_and_the_largest_first():
    made = readout(picture(DISC), torch.where(STAR & (COLUMNS > 0)[None], BLACK, picture(STAR)))
    sizes = [abs(made.change[name]) / SPREAD[name] for name in made.standing_out]
    assert sizes == sorted(sizes, reverse=True)
    assert made.finding("nv", "mel", most=1).count(" and ") == 0


@pytest.fixture
def plain():
    return Appearance(0.1, 5, 1.2, 0.8, dict.fromkeys(COLOURS, 0.0) | {"dark_brown": 0.5}, 0.4, 51, 0.5, 30, 8)


@pytest.mark.parametrize("name", [n for n in SPREAD if n not in COLOURS])
def test_a_change_is_named_beyond_its_noise_and_not_below(plain, name):
    least = least_change(name)
    assert least > NOISE[name]
    below, beyond = (
        Readout(plain, replace(plain, **{name: getattr(plain, name) + factor * least}), 1.0) for factor in (0.9, 1.1)
    )
    assert below.standing_out == ()
    assert "no measure" in below.finding("nv", "mel")
    assert beyond.standing_out == (name,)
    assert "no measure" not in beyond.finding("nv", "mel")


def test_colours_appear_grow_shrink_and_disappear_in_words(plain):
    def said(before, after):
        sides = [replace(plain, shares={**plain.shares, "red": share}) for share in (before, after)]
        return Readout(*sides, 0.5).finding("nv", "mel")

    assert "a red area appears on 60 % of the lesion" in said(0.0, 0.6)
    assert "the red area on 60 % of the lesion disappears" in said(0.6, 0.0)
    assert "the red area grows from 10 % to 60 % of the lesion" in said(0.1, 0.6)
    assert "the red area shrinks from 60 % to 10 % of the lesion" in said(0.6, 0.1)
    assert "no measure" in said(0.02, 0.06)
    assert Readout(plain, plain, 0.5).qualification == "50 % of the change lies on the lesion."


def test_the_share_inside_is_of_the_absolute_change():
    changed = picture(DISC)
    changed[:, 60:64, 60:64] += 0.1
    assert readout(picture(DISC), changed, DISC.float()).inside == pytest.approx(1)
    changed[:, :4, :4] -= 0.1
    assert readout(picture(DISC), changed, DISC.float()).inside == pytest.approx(0.5, abs=0.01)


def test_numbers_are_plain_finite_and_complete():
    numbers = readout(picture(DISC), picture(STAR)).numbers()
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert all(type(value) is float for value in numbers.values())
    for name in (*SPREAD, "colours", "pixels"):
        assert numbers[f"{name}_change"] == pytest.approx(numbers[f"{name}_after"] - numbers[f"{name}_before"])


def test_the_constants_are_those_that_were_measured():
    measured = json.loads(MEASURED.read_text())
    assert dict(SPREAD) == measured["spread"]
    assert dict(NOISE) == measured["noise"]
    assert all(value > 0 for value in SPREAD.values())


def test_real_lesions_seen_again_with_noise_are_rarely_said_to_have_changed(isic_data):
    validation = open_dataset("ham10000", isic_data / "ham10000_200x150").subset("val")
    lesions = validation.select(validation.table.index[5::95])
    rng = torch.Generator().manual_seed(1)
    images = [square(lesion.image, 128) for lesion in lesions]
    noisy = [(image + 0.01 * torch.randn(image.shape, generator=rng)).clamp(0, 1) for image in images]
    named = [bool(readout(a, b).standing_out) for a, b in zip(images, noisy, strict=True)]
    assert len(named) >= 15
    assert sum(named) <= 0.2 * len(named)


def test_importing_the_readout_loads_no_image_analysis():
    slow = "any(m.split('.')[0] in ('skimage', 'scipy') for m in sys.modules)"
    check = f"import sys, cfexplain.explanation.readout; sys.exit({slow})"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
