"""The individual typology angle and its classes."""

import math

import pytest
import torch

from cfexplain.dermoscopy.artefacts import find_artefacts
from cfexplain.dermoscopy.skin_tone import ita, tone
from cfexplain_datasets import open_dataset

NONE = torch.zeros(1, 90, 120)


def of_lab(lightness, green_red, blue_yellow, height=90, width=120):
    """A plain picture of one CIELAB colour."""
    from skimage.color import lab2rgb

    rgb = torch.from_numpy(lab2rgb([[[float(lightness), green_red, blue_yellow]]])[0, 0]).float()
    return rgb[:, None, None].repeat(1, height, width)


def box(top, bottom, left, right):
    mask = NONE.clone()
    mask[:, top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize(
    ("lab", "name"),
    [
        ((75, 10, 12), "very light"),
        ((65, 12, 15), "light"),
        ((62, 12, 18), "intermediate"),
        ((57, 14, 20), "tan"),
        ((45, 14, 18), "brown"),
        ((30, 12, 14), "dark"),
    ],
)
def test_the_angle_of_a_plain_colour_is_that_of_the_formula(lab, name):
    expected = math.degrees(math.atan((lab[0] - 50) / lab[2]))
    assert ita(of_lab(*lab), NONE) == pytest.approx(expected, abs=0.5)
    assert tone(expected) == name


@pytest.mark.parametrize(
    ("angle", "name"),
    [(55, "light"), (41, "intermediate"), (28, "tan"), (10, "brown"), (-30, "dark"), (math.nan, "unknown")],
)
def test_a_limit_belongs_to_the_darker_class(angle, name):
    assert tone(angle) == name


def test_lesion_and_its_faded_border_do_not_count():
    image, lesion = of_lab(70, 10, 15), box(10, 80, 10, 110)
    clean = ita(image, NONE)
    image[:, 8:82, 8:112] = of_lab(30, 20, 20)[:, :1, :1]
    assert ita(image, lesion) == pytest.approx(clean, abs=0.1)
    assert ita(image, box(30, 60, 30, 90)) < clean - 1


def test_dark_corners_and_what_is_excluded_do_not_count():
    image = of_lab(70, 10, 15)
    clean = ita(image, NONE)
    image[:, :70] = 0.9
    assert ita(image, NONE, box(0, 70, 0, 120)) == pytest.approx(clean, abs=0.1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 90), torch.linspace(-1, 1, 120), indexing="ij")
    round_view = torch.where(y**2 + x**2 < 1, of_lab(70, 10, 15), torch.full((3, 1, 1), 0.02))
    assert ita(round_view, box(20, 70, 10, 110)) == pytest.approx(clean, abs=0.1)


def test_without_skin_there_is_no_angle():
    assert math.isnan(ita(of_lab(70, 10, 15), 1 - NONE))
    assert math.isnan(ita(of_lab(70, 10, 15), NONE, 1 - NONE))
    assert tone(ita(of_lab(70, 10, 15), 1 - NONE)) == "unknown"


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 90, 120\)"):
        ita(of_lab(70, 10, 15), torch.zeros(1, 9, 12))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        ita(of_lab(70, 10, 15) * 255, NONE)


def test_the_skin_of_real_pictures_is_mostly_light_and_a_darker_picture_darker(isic_data):
    validation = open_dataset("ham10000", isic_data / "ham10000_200x150").subset("val")
    lesions = list(validation.select(validation.table.index[:: len(validation) // 12]))
    angles, darker = [], []
    for lesion in lesions:
        artefacts = torch.stack(list(find_artefacts(lesion.image, lesion.mask).values())).amax(0)
        angles.append(ita(lesion.image, lesion.mask, artefacts))
        darker.append(ita(lesion.image * 0.6, lesion.mask, artefacts))
    assert sum(angle > 41 for angle in angles) > len(angles) / 2
    assert all(below <= angle for below, angle in zip(darker, angles, strict=True))
    assert sum(below < angle - 10 for below, angle in zip(darker, angles, strict=True)) > len(angles) / 2


def test_a_bluish_picture_is_judged_by_its_lightness_alone():
    assert ita(of_lab(70, 5, -5), NONE) == 90
    assert ita(of_lab(30, 5, -5), NONE) == -90
