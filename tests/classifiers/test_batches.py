"""Batches: augmentation by seed, epoch and index; balanced draws; unreadable images are left out."""

import numpy as np
import torch

from cfexplain.images import ImageError
from cfexplain_classifiers.batches import Squares, balanced_order, evaluation_batches, labelled
from reds import Reds


def test_augmentation_depends_on_seed_epoch_and_index_only():
    def squares(seed, epoch):
        def augment(image, seed):
            return np.full((32, 32, 3), seed % 256, "uint8")

        augmented = Squares(Reds(4), 32, augment, seed=seed, epoch=epoch)
        return [augmented[i][0] for i in range(4)]

    assert all(torch.equal(a, b) for a, b in zip(squares(0, 1), squares(0, 1), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(squares(0, 1), squares(0, 2), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(squares(0, 1), squares(1, 1), strict=True))


def test_rare_classes_are_drawn_more_often():
    labels = [0] * 900 + [1] * 100 + [-1] * 10
    drawn = torch.tensor([labels[i] for i in balanced_order(labels, 1.0, 0)])
    assert 0.4 < float((drawn == 1).float().mean()) < 0.6
    assert int((drawn == -1).sum()) == 0
    natural = torch.tensor([labels[i] for i in balanced_order(labels, 0.0, 0)])
    assert 0.06 < float((natural == 1).float().mean()) < 0.15
    assert balanced_order(labels, 1.0, 0, epoch=1) != balanced_order(labels, 1.0, 0, epoch=0)


def test_unlabelled_samples_do_not_count_as_the_first_class():
    labels = [0] * 100 + [1] * 100 + [-1] * 800
    drawn = torch.tensor(labels)[balanced_order(labels, 1.0, 0)]
    assert 400 < int((drawn == 0).sum()) < 600
    assert not bool((drawn < 0).any())


def test_a_damaged_image_has_no_label():
    class Damaged(Reds):
        def __getitem__(self, index):
            if index == 1:
                raise ImageError("cut short")
            return super().__getitem__(index)

    image, label = Squares(Damaged(4), 32)[1]
    assert label == -1
    assert image.shape == (3, 32, 32)
    ((images, labels),) = labelled(evaluation_batches(Damaged(4), 32))
    assert labels.tolist() == [0, 0, 1]
    assert torch.equal(images[1], Squares(Damaged(4), 32)[2][0])


def test_batches_without_any_label_are_skipped():
    images, unknown = torch.rand(2, 3, 8, 8), torch.tensor([-1, -1])
    assert list(labelled([(images, unknown)])) == []
