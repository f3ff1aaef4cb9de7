"""Corruptions spoil a picture, reproducibly, more the stronger they are."""

import pytest
import torch

from cfexplain_classifiers import corruption
from cfexplain_classifiers.corruption import corrupted
from cfexplain_datasets.synthetic import SyntheticLesions

LESION = SyntheticLesions(1, size=64)[0].image
FAULTS = [corruption._jpeg, corruption._blur, corruption._noise, corruption._cast]


def distance(fault, strength):
    spoilt = fault(LESION, strength, torch.Generator().manual_seed(0)).clamp(0, 1)
    assert spoilt.shape == LESION.shape
    return float((spoilt - LESION).square().mean())


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_grows_with_its_strength(fault):
    assert 0 < distance(fault, 0.1) < distance(fault, 1.0) < 0.1


def test_a_batch_is_spoilt_reproducibly_within_range():
    images = torch.stack([LESION] * 16)
    first, second, third = (corrupted(images, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    changes = (first - images).abs().mean(dim=(1, 2, 3))
    assert float(changes.min()) > 0
    assert len(corrupted(images[:0], torch.Generator())) == 0


def test_blurring_keeps_the_mean_colour():
    grey = torch.full((3, 16, 16), 0.4)
    torch.testing.assert_close(corruption._blur(grey, 1.0, torch.Generator()), grey)
