"""Artefact detection on planted artefacts, on clean images, and on real ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cfexplain.dermoscopy.artefacts import ARTEFACTS, find_artefacts
from cfexplain_datasets import open_dataset
from cfexplain_datasets.synthetic import paint, sample_factors, sample_nuisance

SKIN = torch.tensor([0.84, 0.63, 0.6])[:, None, None]
BROWN = torch.tensor([0.45, 0.28, 0.22])[:, None, None]
PEN = torch.tensor([0.36, 0.22, 0.6])[:, None, None]

SEEN = {
    "ISIC_0024334": set(),
    "ISIC_0034140": set(),
    "ISIC_0031471": {"hair"},
    "ISIC_0025902": {"hair"},
    "ISIC_0027320": {"dark_corner"},
    "ISIC_0024984": {"ruler"},
    "ISIC_0024561": {"ruler"},
    "ISIC_0027976": {"ruler", "dark_corner"},
    "ISIC_0029213": {"hair", "ruler"},
    "ISIC_0027567": {"bubbles"},
}
"""Validation images of HAM10000 inspected during development: a regression test, not a measure of quality."""


def drawn(count=6, seed=0, **planted):
    """Pairs of a synthetic lesion without and with one planted artefact, nothing else changed."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        factors = sample_factors(rng, k % 2)
        plain = replace(sample_nuisance(rng), hair=0, ruler=False, vignette=0.0, noise=0.004)
        yield paint(factors, plain, 128)[0], paint(factors, replace(plain, **planted), 128)[0]


def scores(name, pairs, darkened):
    """Recall of the pixels that became plainly darker; precision, where a faint darkening next to a pixel is enough."""
    hit = true = right = found = 0
    for without, planted in pairs:
        mask, fall = find_artefacts(planted)[name][0].bool(), (without - planted).amax(0)
        near = F.max_pool2d((fall > 0.06).float()[None], 3, 1, 1)[0].bool()
        hit, true = hit + int((mask & (fall > darkened)).sum()), true + int((fall > darkened).sum())
        right, found = right + int((mask & near).sum()), found + int(mask.sum())
    return hit / true, right / max(found, 1)


def skin(height=150, width=200, seed=0):
    """Plain skin with a little noise."""
    noise = torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))
    return (SKIN + 0.01 * noise).clamp(0, 1)


def disc(height=150, width=200, y=75.0, x=100.0, radius=30.0):
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows - y) ** 2 + (columns - x) ** 2).sqrt() - radius


@pytest.mark.parametrize(
    ("name", "planted", "least_recall", "least_precision"),
    [
        ("hair", {"hair": 8}, 0.85, 0.95),
        ("ruler", {"ruler": True}, 0.92, 0.92),
        ("dark_corner", {"vignette": 1.0}, 0.9, 0.9),
    ],
)
def test_what_is_planted_is_found_and_little_else(name, planted, least_recall, least_precision):
    recall, precision = scores(name, drawn(**planted), 0.4 if name == "dark_corner" else 0.2)
    assert recall > least_recall
    assert precision > least_precision


def test_lesions_without_artefacts_have_none():
    for image, _ in drawn():
        found = find_artefacts(image)
        assert found["hair"].mean() < 0.004
        assert not any(found[name].any() for name in ("ruler", "ink", "dark_corner", "bubbles"))


def test_plain_skin_with_a_brown_disc_has_none():
    image = torch.where(disc() < 0, BROWN, skin())
    assert not any(mask.any() for mask in find_artefacts(image).values())


def test_a_mesh_of_pigment_is_no_hair():
    rows, columns = torch.meshgrid(torch.arange(150.0), torch.arange(200.0), indexing="ij")
    waves = sum(torch.cos(2 * torch.pi / 7 * (columns * c + rows * s)) for c, s in ((1, 0), (0.5, 0.87), (-0.5, 0.87)))
    image = torch.where((waves < -0.9) & (disc(radius=50) < 0), BROWN, skin())
    assert find_artefacts(image)["hair"].mean() < 0.002
    image[:, 70:72, 20:180] = 0.12
    assert find_artefacts(image)["hair"][0, 70:72, 20:50].mean() > 0.8


def test_light_hair_is_found_too():
    image = skin() - 0.2
    image[:, 40:42, 20:180] = 0.9
    assert find_artefacts(image)["hair"][0, 40:42, 30:170].mean() > 0.9
    assert find_artefacts(image)["hair"].sum() < 2 * 2 * 160


def test_the_scale_of_a_dermatoscope_is_a_ruler_and_not_hair():
    image = skin()
    for k in range(4):  # ticks across the upper right corner, pointing to the centre
        for step in range(-4, 5):
            image[:, 10 + 8 * k - step : 12 + 8 * k - step, 163 + 9 * k + step : 165 + 9 * k + step] = 0.1
    found = find_artefacts(image)
    ticks = (image < 0.2).all(0)
    assert found["ruler"][0][ticks].mean() > 0.9
    assert not found["hair"].any()


def test_stubble_is_no_ruler():
    rng = torch.Generator().manual_seed(1)
    image = skin()
    for y, x in (torch.rand(30, 2, generator=rng) * torch.tensor([130.0, 190.0])).int().tolist():
        image[:, y : y + 10, x : x + 2] = 0.1
    found = find_artefacts(image)
    assert found["hair"].sum() > 10 * found["ruler"].sum()
    assert found["hair"][0][(image < 0.2).all(0)].mean() > 0.6


def test_pen_is_ink_where_blue_grey_and_red_are_not():
    image = torch.where(disc(y=30, x=30, radius=12) < 0, PEN, skin())
    blue_grey, red = (torch.tensor(c)[:, None, None] for c in ([0.42, 0.45, 0.55], [0.7, 0.15, 0.35]))
    image = torch.where(disc(x=80) < 0, blue_grey, image)
    image = torch.where(disc(x=150, radius=20) < 0, red, image)
    found = find_artefacts(image)["ink"][0].bool()
    assert found[disc(y=30, x=30, radius=12) < -2].all()
    assert not found[disc(y=30, x=30, radius=12) > 2].any()


def test_ink_is_not_looked_for_on_the_lesion():
    lesion = disc() < 0
    image = torch.where(lesion, PEN, skin())
    assert find_artefacts(image)["ink"].any()
    assert not find_artefacts(image, lesion.float()[None])["ink"].any()


def test_the_round_field_of_view_is_found_and_nothing_overlaps_it():
    image = torch.where(disc(radius=98) < 0, skin(), torch.full((3, 1, 1), 0.03))
    found = find_artefacts(image)
    assert found["dark_corner"][0][disc(radius=98) > 1].mean() > 0.95
    assert not found["dark_corner"][0][disc(radius=98) < -3].any()
    assert not any((found[name] * found["dark_corner"]).any() for name in ARTEFACTS if name != "dark_corner")


def test_a_dark_lesion_at_the_rim_is_no_dark_corner():
    image = torch.where(disc(y=75, x=0, radius=50) < 0, torch.full((3, 1, 1), 0.1), skin())
    assert not find_artefacts(image)["dark_corner"].any()


def test_a_reflection_and_the_rim_of_a_bubble_are_found():
    image = skin()
    for left in (50, 60, 70):
        image[:, 30:33, left : left + 3] = 0.98
    ring = disc(y=100, x=150, radius=14).abs() < 1
    image[:, ring] = 0.98
    found = find_artefacts(image)
    assert found["bubbles"][0, 30:33, 50:53].all()
    assert found["bubbles"][0][ring].mean() > 0.6
    assert not found["hair"].any()


@pytest.mark.parametrize("size", [(225, 310), (64, 64), (16, 40)])
def test_masks_are_zeros_and_ones_of_the_pictures_own_size(size):
    image = skin(*size)
    image[:, 4:6] = 0.1
    masks = find_artefacts(image)
    assert list(masks) == list(ARTEFACTS)
    for name, mask in masks.items():
        assert mask.shape == (1, *size), name
        assert set(mask.unique().tolist()) <= {0.0, 1.0}, name


def test_an_image_does_not_inherit_the_artefacts_of_the_one_before():
    plain, hairy = skin(), skin()
    hairy[:, 40:42, 20:180] = 0.1
    first, _, again = (find_artefacts(image) for image in (plain, hairy, plain))
    assert all(torch.equal(first[name], again[name]) for name in ARTEFACTS)


@pytest.mark.parametrize("image", [torch.zeros(3, 32, 48), torch.ones(3, 48, 32), torch.rand(3, 64, 64)])
def test_pictures_of_nothing_never_fail(image):
    assert set(find_artefacts(image)) == set(ARTEFACTS)


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        find_artefacts(torch.full((3, 32, 32), 200.0))
    with pytest.raises(ValueError, match="mask must have shape"):
        find_artefacts(torch.full((3, 32, 32), 0.5), torch.zeros(1, 16, 16))


def test_artefacts_of_real_pictures_are_as_seen_by_eye(isic_data):
    validation = open_dataset("ham10000", isic_data / "ham10000_200x150").subset("val")
    for lesion in validation.select(list(SEEN)):
        found = find_artefacts(lesion.image, lesion.mask)
        assert {name for name, mask in found.items() if mask.any()} == SEEN[lesion.id], lesion.id
