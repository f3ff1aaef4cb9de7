"""A classifier of single pixels loses its flip to any damage; one of the mean loses it to none."""

import pytest
import torch

from cfexplain.explanation.metrics.robustness import CORRUPTIONS, robustness
from cfexplain.types import Prediction
from edits import edit_of, follows_the_order
from toys import Toy

SIZE = 128


def checkerboard(height):
    sign = (torch.arange(SIZE)[:, None] + torch.arange(SIZE)[None]) % 2 * 2.0 - 1
    return height * sign.expand(1, 3, SIZE, SIZE)


class Fragile:
    """Says the target when every pixel is within a hundredth of a checkerboard on grey."""

    classes = ("a", "b")
    image_size = SIZE

    def __call__(self, images):
        worst = (images - 0.5 - checkerboard(0.1)).abs().flatten(1).amax(1)
        return Prediction(torch.stack([worst, torch.full_like(worst, 0.01)], dim=1))


class Robust:
    """Says the target when the picture is brighter than 0.55 on average."""

    classes = ("a", "b")
    image_size = SIZE

    def __call__(self, images):
        light = images.mean(dim=(1, 2, 3))
        return Prediction(torch.stack([torch.full_like(light, 0.55), light], dim=1))


def test_a_pattern_of_pixels_does_not_survive():
    said = robustness(edit_of(checkerboard(0.1)), Fragile())
    assert list(said) == list(CORRUPTIONS) == ["jpeg", "blur", "noise", "shift", "resize", "together"]
    assert {name: value.tolist() for name, value in said.items()} == {name: [False] for name in CORRUPTIONS}


def test_a_brighter_picture_survives_and_an_unchanged_one_is_no_flip():
    change = torch.tensor([0.2, 0.0])[:, None, None, None].expand(2, 3, SIZE, SIZE)
    said = robustness(edit_of(change), Robust())
    assert {name: value.tolist() for name, value in said.items()} == {name: [True, False] for name in CORRUPTIONS}


def test_all_four_shifts_must_hold():
    class LeftColumn:
        classes, image_size = ("a", "b"), SIZE

        def __call__(self, images):
            light = images[..., 0].mean(dim=(1, 2))
            return Prediction(torch.stack([torch.full_like(light, 0.6), light], dim=1))

    change = torch.zeros(1, 3, SIZE, SIZE)
    change[..., 0] = 0.3
    assert robustness(edit_of(change), LeftColumn())["shift"].tolist() == [False]  # lost when moved to the left
    change[..., 1] = 0.3
    assert robustness(edit_of(change), LeftColumn())["shift"].tolist() == [True]


def test_shifts_by_hand():
    image = torch.arange(9.0).view(1, 1, 3, 3).expand(1, 3, 3, 3)
    up, down, left, right = (moved[0, 0].tolist() for moved in CORRUPTIONS["shift"](image))
    assert up == [[3, 4, 5], [6, 7, 8], [6, 7, 8]]
    assert down == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert left == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]
    assert right == [[0, 0, 1], [3, 3, 4], [6, 6, 7]]


def test_sizes_of_the_damage():
    grey, dot = torch.full((1, 3, 128, 128), 0.5), torch.zeros(1, 3, 128, 128)
    dot[..., 64, 64] = 1
    (noisy,), (blurred,) = CORRUPTIONS["noise"](grey), CORRUPTIONS["blur"](dot)
    assert float((noisy - grey).std()) == pytest.approx(0.02, rel=0.05)
    assert float(blurred[0, 0, 64, 64]) == pytest.approx(1 / (2 * torch.pi), rel=0.02)  # a Gaussian of 1 pixel
    for damaged in CORRUPTIONS.values():
        for image in damaged(grey):
            assert image.shape == grey.shape
            assert bool(((image >= 0) & (image <= 1)).all())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_another_order_gives_the_same_answers(name):
    rng = torch.Generator().manual_seed(3)
    change = 0.05 * torch.randn(6, 3, SIZE, SIZE, generator=rng) + 0.15 * torch.rand(6, 1, 1, 1, generator=rng)
    edit = edit_of(change.clamp(-0.5, 0.5), target=[0, 1, 0, 1, 0, 1])
    assert follows_the_order(lambda e: robustness(e, Toy())[name], edit)


def test_neither_the_global_generator_nor_the_classifier_is_touched():
    classifier, state = Toy(), torch.get_rng_state()
    first, second = (robustness(edit_of(checkerboard(0.1)), classifier) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in CORRUPTIONS)
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in classifier.parameters())
    with pytest.raises(ValueError, match="training mode"):
        robustness(edit_of(checkerboard(0.1)), classifier.train())
