"""Hair removal: what is inpainted, what is kept, and the classic methods."""

from dataclasses import replace

import pytest
import torch

from cfexplain.restore import DEHAIR, Run, dehair, fast
from cfexplain.restore.hair import WAYS, dullrazor, grown, hair_mask, opencv

QUICK = fast(DEHAIR, share=0.02)


def skin(height=72, width=96):
    """Skin whose brightness rises from left to right."""
    return torch.linspace(0.5, 0.9, width).expand(3, height, width) * torch.tensor([1.0, 0.8, 0.7])[:, None, None]


def with_hair():
    """An upright hair of two pixels, and where it is."""
    picture, mask = skin().clone(), torch.zeros(1, 72, 96)
    mask[:, 8:64, 40:42] = 1
    return torch.where(mask > 0, 0.1, picture), mask


def test_dullrazor_interpolates_between_the_skin_at_both_sides_of_the_hair():
    hairy, mask = with_hair()
    torch.testing.assert_close(dullrazor(hairy, mask)[:, 20:50], skin()[:, 20:50], atol=2e-3, rtol=0)


@pytest.mark.parametrize("way", [dullrazor, opencv])
def test_the_classic_keeps_all_other_pixels(way):
    hairy, mask = with_hair()
    kept = (mask == 0).expand(3, -1, -1)
    assert torch.equal(way(hairy, mask)[kept], hairy[kept])
    assert (way(hairy, mask) - skin()).abs().max() < 0.05


def test_the_prior_fits_only_the_neighbourhood_of_the_hair():
    picture, mask = torch.full((3, 200, 300), 0.7), torch.zeros(1, 200, 300)
    mask[:, 20:24, 30:60] = 1
    seen = []
    found = dehair(picture, mask=mask, method=QUICK, run=Run(watch=lambda step: seen.append(step.image.shape)))
    assert set(seen) == {(1, 3, 56, 92)}, "the mask's box and 32 pixels around it, where there are as many"
    assert torch.equal(found.image[0][:, mask[0] == 0], picture[:, mask[0] == 0])


def test_without_hair_the_image_is_returned_after_no_steps():
    found = dehair(skin(), method=QUICK)
    assert torch.equal(found.image[0], skin())
    assert found.steps == (0,)


def test_a_mask_is_grown_by_the_rim_of_the_hair():
    mask = torch.zeros(1, 100, 500)
    mask[:, 50, 250] = 1
    assert float(grown(mask).sum()) == 25, ".4 % of 500 pixels on each side"
    assert float(grown(mask[..., :100] + mask[..., 200:300]).sum()) == 9, "one pixel at least"


@pytest.mark.parametrize("way", WAYS)
def test_each_way_removes_a_detected_hair(way):
    hairy, mask = with_hair()
    assert bool((hair_mask(hairy)[mask > 0] == 1).float().mean() > 0.9)
    cleaned = dehair(hairy, method=way, run=Run(budget=2.0)).image[0]
    assert cleaned[:, 20:50, 40:42].mean() > 3 * hairy[:, 20:50, 40:42].mean()


def test_bad_input_is_refused_in_a_sentence():
    picture, mask = with_hair()
    for call, sentence in (
        (lambda: dehair(picture, mask=mask[:, :50]), "96x50 pixels, the picture of 96x72"),
        (lambda: dehair(picture, mask=torch.ones_like(mask)), "covers everything"),
        (lambda: dehair(picture, method="wax"), "prior, dullrazor or opencv"),
        (lambda: dehair(picture[:2], mask=mask, method=replace(QUICK, name="x")), "1 or 3"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
