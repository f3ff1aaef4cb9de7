"""The outline from colour alone."""

import pytest
import torch

from cfexplain.dermoscopy.segment import as_array, central_disc, dark_corners, lesion_above, segment, without_hair
from cfexplain.images import central_square, resize, square
from cfexplain_datasets import open_dataset
from cfexplain_datasets.synthetic import SyntheticLesions

SKIN = torch.tensor([0.84, 0.63, 0.67])[:, None, None]
BROWN = torch.tensor([0.45, 0.28, 0.25])[:, None, None]


def disc(size=128, radius=0.25, x=0.5, y=0.5):
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((rows - y * size) ** 2 + (columns - x * size) ** 2 < (radius * size) ** 2)[None]


def picture(mask, colour=BROWN):
    return torch.where(mask, colour, SKIN)


def iou(found, given):
    found, given = found.bool(), given.bool()
    return ((found & given).flatten(1).sum(1) / (found | given).flatten(1).sum(1)).mean().item()


@pytest.mark.parametrize("size", [48, 128, 200])
def test_a_brown_disc_is_found_at_every_size(size):
    given = disc(size)
    found = segment(picture(given)[None])
    assert found.shape == (1, 1, size, size)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert iou(found, given[None]) > 0.85


def test_the_central_part_is_kept_and_its_hole_filled():
    centre, hole, other = disc(), disc(radius=0.08), disc(radius=0.12, x=0.85, y=0.15)
    found = segment(picture((centre & ~hole) | other)[None])[0]
    assert found[hole].all()
    assert not found[other].any()


def test_hair_and_dark_corners_are_not_lesion():
    given, image = disc(), picture(disc())
    image[:, :, 20:22] = 0.1
    image[:, 100:102] = 0.1
    image[:, ~disc(radius=0.6)[0]] = 0.05
    assert iou(segment(image[None]), given[None]) > 0.8


@pytest.mark.parametrize("size", [64, 128, 300])
def test_the_surround_of_a_round_field_of_view_is_found(size):
    seen = disc(size, 0.55)
    image = torch.where(seen, picture(disc(size, 0.15)), torch.tensor(0.05)[None, None])
    found = torch.from_numpy(dark_corners(as_array(image)))
    assert iou(found[None, None], ~seen[None]) > 0.6
    assert not torch.from_numpy(dark_corners(as_array(picture(disc(size))))).any()


def test_hair_is_painted_over_but_dots_stay():
    image = picture(disc())
    image[:, 10:12] = 0.1
    image[:, 62:65, 62:65] = 0.1
    clean = torch.from_numpy(without_hair(image.double().permute(1, 2, 0).numpy())).permute(2, 0, 1)
    assert (clean[:, 10:12] - SKIN).abs().max() < 0.1
    assert clean[:, 63, 63].max() < 0.2


@pytest.mark.parametrize(
    "image", [torch.full((1, 3, 64, 64), 0.5), torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 16, 40)]
)
def test_without_contrast_the_answer_is_a_central_disc(image):
    found = segment(image)
    assert torch.equal(found[0, 0].bool(), torch.from_numpy(central_disc(image.shape[-2:])))
    assert 0 < found.mean() < 0.5


def test_noise_alone_never_fails_and_never_is_empty():
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert (segment(images).flatten(1).sum(1) > 0).all()


def test_a_batch_is_its_images_one_by_one_and_keeps_their_type():
    images = torch.stack([picture(disc()), picture(disc(x=0.4, radius=0.15))]).double()
    together = segment(images)
    assert together.dtype == torch.float64
    assert torch.equal(together, torch.cat([segment(image[None]) for image in images]))


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        segment(torch.full((1, 3, 32, 32), 200.0))
    with pytest.raises(TypeError):
        segment(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


def test_the_part_beside_the_given_one_is_found_instead_of_the_central_one():
    left, right = disc(x=0.3, radius=0.12)[0].numpy(), disc(x=0.75, radius=0.15)[0].numpy()
    distance = 30.0 * (left | right)
    found = lesion_above(distance, distance > -1, 10.0, left)
    assert found[left].mean() > 0.9
    assert not found[right].any()


def test_synthetic_lesions_are_outlined():
    lesions = list(SyntheticLesions(16, size=64, split="val"))
    found, given = segment(torch.stack([x.image for x in lesions])), torch.stack([x.mask for x in lesions])
    assert iou(found, given) > 0.75


def test_real_lesions_are_outlined_as_measured(isic_data):
    validation = open_dataset("ham10000", isic_data / "ham10000_200x150").subset("val")
    lesions = list(validation.select(validation.table.index[:: len(validation) // 30]))
    images = torch.stack([square(x.image, 128) for x in lesions])
    given = torch.stack([resize(central_square(x.mask)[None], 128)[0] > 0.5 for x in lesions])
    assert iou(segment(images), given) > 0.72
