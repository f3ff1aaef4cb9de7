"""Training augmentation: a function of picture and seed, with the mask moved alike."""

import pickle

import numpy as np
import pytest

from cfexplain_datasets.augment import Augmentation, training_augmentation


def noise(height: int = 150, width: int = 200) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def disc() -> np.ndarray:
    y, x = np.mgrid[:150, :200]
    return ((y - 60) ** 2 + (x - 110) ** 2 < 30**2).astype(np.uint8)


def test_a_seed_gives_one_square_and_another_seed_another() -> None:
    augment = Augmentation(48)
    assert np.array_equal(augment(noise(), 5), augment(noise(), 5))
    assert not np.array_equal(augment(noise(), 5), augment(noise(), 6))


def test_what_was_augmented_before_does_not_matter() -> None:
    used = Augmentation(48, degrade=0.5)
    for seed in range(8):
        used(noise(), seed)
    assert np.array_equal(used(noise(), 99), Augmentation(48, degrade=0.5)(noise(), 99))


def test_a_worker_process_gets_the_same_augmentation() -> None:
    augment = Augmentation(48)
    augment(noise(), 0)
    assert np.array_equal(pickle.loads(pickle.dumps(augment))(noise(), 3), augment(noise(), 3))


@pytest.mark.parametrize("shape", [(150, 200), (200, 150), (64, 64), (450, 600)])
def test_the_square_has_the_size_whatever_the_picture(shape: tuple[int, int]) -> None:
    square = training_augmentation(32)(noise(*shape), 1)
    assert square.shape == (32, 32, 3)
    assert square.dtype == np.uint8


@pytest.mark.parametrize("seed", range(6))
def test_the_mask_moves_with_the_picture(seed: int) -> None:
    mask = disc()
    picture = np.repeat((255 * mask)[:, :, None], 3, axis=2)
    plain = Augmentation(96, colour=0.0, degrade=0.0)
    square, moved = plain.apply(picture, seed, mask)
    assert moved is not None
    assert moved.any()
    assert np.mean((square[:, :, 0] > 127) == (moved > 0)) > 0.98


def test_asking_for_the_mask_changes_nothing_of_the_picture() -> None:
    augment = Augmentation(48)
    square, moved = augment.apply(noise(), 4, disc())
    assert np.array_equal(square, augment(noise(), 4))
    assert moved is not None
    assert moved.shape == (48, 48)
