"""Images beside the training set: reproducible, in range, with true losses; corruptions grow with their severity."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cfexplain_classifiers.hardening import CORRUPTIONS, corrupted, off_distribution, true_loss
from cfexplain_datasets.synthetic import SyntheticLesions

LESION = SyntheticLesions(1, size=64)[0].image


def test_out_of_distribution_images_are_reproducible_and_in_range():
    images = torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = (off_distribution(images, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == images.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert float((first - images).abs().mean(dim=(1, 2, 3)).min()) > 0


def test_the_loss_of_an_image_of_no_class_is_the_mean_over_all_labels():
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    known, unknown = true_loss(logits, torch.tensor([0, -1])).tolist()
    assert known == pytest.approx(float(F.cross_entropy(logits[:1], torch.tensor([0]))))
    either = [float(F.cross_entropy(logits[:1], torch.tensor([label]))) for label in (0, 1)]
    assert unknown == pytest.approx(np.mean(either))
    assert float(true_loss(torch.zeros(1, 4), torch.tensor([-1]))) == pytest.approx(np.log(4))


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_each_corruption_grows_with_its_severity(corruption):
    def change(severity):
        result = corruption(LESION, severity, torch.Generator().manual_seed(0)).clamp(0, 1)
        assert result.shape == LESION.shape
        return float((result - LESION).square().mean())

    assert 0 < change(0.1) < change(1.0) < 0.1


def test_a_batch_is_corrupted_reproducibly_and_in_range():
    images = torch.stack([LESION] * 16)
    first, second, third = (corrupted(images, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert float((first - images).abs().mean(dim=(1, 2, 3)).min()) > 0


def test_blur_keeps_the_mean_colour():
    _, blur, *_ = CORRUPTIONS
    grey = torch.full((3, 16, 16), 0.4)
    torch.testing.assert_close(blur(grey, 1.0, torch.Generator()), grey)
