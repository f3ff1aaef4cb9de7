"""Regions: they partition the image, and their effects are shares of the flip."""

import pytest
import torch

from cfexplain.audit.region import artefacts, effects, excess, places
from cfexplain.explanation.folder import load


@pytest.fixture(scope="module")
def edit(finished):
    return load(finished.folder / "cases" / finished.rows.iloc[0]["case"]).edit


def test_places_partition_the_image(lesions):
    parted = places(lesions[0].mask)
    assert torch.equal(sum(parted.values()), torch.ones(1, 64, 64))
    assert all(0 < float(mask.mean()) < 1 for mask in parted.values())


def test_effects_are_shares_of_the_flip(edit, classifier):
    everything, nothing = torch.ones(1, 64, 64), torch.zeros(1, 64, 64)
    found = effects(edit, classifier, {"everything": everything, "nothing": nothing})
    assert found["everything"] == pytest.approx(1, abs=1e-4)
    assert found["nothing"] == pytest.approx(0, abs=1e-4)
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    halves = effects(edit, classifier, {"left": left, "right": 1 - left})  # no pixel is in both
    found = excess(edit, classifier, {"left": left})["left"]
    assert found == pytest.approx(halves["left"] - halves["right"], abs=1e-4)


def test_an_artefact_on_all_sides_is_no_control_of_itself(edit, classifier):
    rim = torch.ones(1, 64, 64)
    rim[:, 8:-8, 8:-8] = 0
    alone = effects(edit, classifier, {"rim": rim})
    assert excess(edit, classifier, {"rim": rim}) == pytest.approx(alone, abs=1e-5)


def test_the_mask_of_an_artefact_is_dilated_by_one_pixel(edit, monkeypatch):
    there = torch.zeros(1, 64, 64)
    there[:, 20:30, 20:30] = 1
    monkeypatch.setattr("cfexplain.audit.region.find_artefacts", lambda image: {"ink": there})
    areas, gains, masks = artefacts(edit.query[0], edit)
    grown = torch.zeros(1, 64, 64)
    grown[:, 19:31, 19:31] = 1
    assert torch.equal(masks["ink"], grown)
    assert areas["ink"] == pytest.approx(100 / 64**2)
    assert gains["ink"] == 0
