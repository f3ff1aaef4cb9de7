"""Training augmentation: a function of image and seed."""

import pickle

import numpy as np
import pytest

from cfexplain_datasets.augment import Augmentation, training_augmentation


def noise(height: int = 150, width: int = 200) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def disc() -> np.ndarray:
    y, x = np.mgrid[:150, :200]
    return ((y - 60) ** 2 + (x - 110) ** 2 < 30**2).astype(np.uint8)


def test_the_output_depends_on_the_seed() -> None:
    augment = Augmentation(48)
    assert np.array_equal(augment(noise(), 5), augment(noise(), 5))
    assert not np.array_equal(augment(noise(), 5), augment(noise(), 6))


def test_the_output_does_not_depend_on_earlier_calls() -> None:
    used = Augmentation(48, degrade=0.5)
    for seed in range(8):
        used(noise(), seed)
    assert np.array_equal(used(noise(), 99), Augmentation(48, degrade=0.5)(noise(), 99))


def test_a_pickled_augmentation_gives_the_same_output() -> None:
    augment = Augmentation(48)
    augment(noise(), 0)
    assert np.array_equal(pickle.loads(pickle.dumps(augment))(noise(), 3), augment(noise(), 3))


@pytest.mark.parametrize("shape", [(150, 200), (200, 150), (64, 64), (450, 600)])
def test_the_output_has_its_size_for_every_image_shape(shape: tuple[int, int]) -> None:
    square = training_augmentation(32)(noise(*shape), 1)
    assert square.shape == (32, 32, 3)
    assert square.dtype == np.uint8


@pytest.mark.parametrize("seed", range(6))
def test_the_warp_keeps_the_middle_in_the_output(seed: int) -> None:
    image = np.repeat((255 * disc())[:, :, None], 3, axis=2)
    plain = Augmentation(96, colour=0.0, degrade=0.0)
    white = np.argwhere(plain(image, seed)[:, :, 0] > 127)
    assert 0.08 < len(white) / 96**2 < 0.23  # a disc of 12.6 % of the square, magnified 0.85 to 1.3 times
    assert np.abs(white.mean(axis=0) - 47.5).max() < 96 * 0.3
