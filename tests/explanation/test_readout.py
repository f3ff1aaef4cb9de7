"""What changed about a lesion, in numbers and in words."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cfexplain.dermoscopy.abcd import COLOURS, Appearance
from cfexplain.explanation.readout import NOISE, SPREAD, Readout, least_change, readout
from cfexplain.images import square
from cfexplain_datasets import open_dataset
from shapes import BLACK, BLUE_GREY, BROWN, COLUMNS, DISC, DISTANCE, HALF, ROWS, SKIN, STAR, picture

MEASURED = Path(__file__).parents[2] / "experiments" / "results" / "readout_check" / "constants.json"


def test_images_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="differ in size"):
        readout(picture(DISC), picture(DISC)[:, :64])


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
    found = readout(picture(DISC), picture(STAR))
    before, after, change = found.before.numbers(), found.after.numbers(), found.change
    assert set(before) == set(after) == set(change) == {*SPREAD, "colours", "pixels"}
    for numbers in (before, after, change):
        assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
        assert all(type(value) is float for value in numbers.values())
    for name in change:
        assert change[name] == pytest.approx(after[name] - before[name])


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
