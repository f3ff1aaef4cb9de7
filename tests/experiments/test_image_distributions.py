"""Distances of distributions, by hand where the features are the pixels."""

import sys

import pytest
import torch
from image_distributions import kernel_distance, split_frechet_distance

pytest.importorskip("torchmetrics")


def images(*reds):
    return torch.tensor(reds)[:, None, None, None].expand(len(reds), 3, 4, 4)


def red(batch):
    """One feature: the redness of the first pixel."""
    return batch[:, 0, 0, :1]


def gaussian(count, mean, spread, seed):
    return images(*(mean + spread * torch.randn(count, generator=torch.Generator().manual_seed(seed))).tolist())


def test_kernel_distance_by_hand():
    # k(a, b) = (a b + 1)^3: k(0, 1) = 1 among the real, k(1, 2) = 27 among the shown, and 1, 1, 8, 27 across.
    mean, spread = kernel_distance(images(0.0, 1.0), images(1.0, 2.0), red, subsets=3, subset_size=2)
    assert mean == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4)
    assert spread == pytest.approx(0, abs=1e-9)


def test_kernel_distance_tells_the_same_from_another():
    real, same, other = gaussian(100, 0, 1, 0), gaussian(100, 0, 1, 1), gaussian(100, 2, 1, 2)
    near, spread = kernel_distance(real, same, red)
    assert abs(near) < spread
    assert kernel_distance(real, other, red)[0] > 10 * spread


def test_frechet_distance_is_that_of_two_gaussians():
    # In one dimension (m - m')^2 + (s - s')^2 = 9 + 1.
    found = split_frechet_distance(gaussian(4000, 0, 1, 0), gaussian(4000, 3, 2, 1), red, splits=3)
    assert found == pytest.approx(10, rel=0.05)


def test_copies_are_not_compared_with_their_own_query():
    queries = gaussian(12, 0, 1, 0)
    assert split_frechet_distance(queries, queries, red) > 0.01
    assert split_frechet_distance(gaussian(2000, 0, 1, 0), gaussian(2000, 0, 1, 0), red) < 0.01


def test_the_order_of_pairs_matters_to_neither_beyond_the_draw():
    real, shown = gaussian(40, 0, 1, 0), gaussian(40, 1, 1, 1)
    whole = {"subsets": 1, "subset_size": 40}
    assert kernel_distance(real.flip(0), shown, red, **whole)[0] == pytest.approx(
        kernel_distance(real, shown, red, **whole)[0]
    )


def test_seeds_repeat_and_the_global_generator_is_left_alone():
    real, shown = gaussian(40, 0, 1, 0), gaussian(40, 1, 1, 1)
    state = torch.get_rng_state()
    assert kernel_distance(real, shown, red) == kernel_distance(real, shown, red)
    assert kernel_distance(real, shown, red) != kernel_distance(real, shown, red, seed=1)
    assert split_frechet_distance(real, shown, red) == split_frechet_distance(real, shown, red)
    assert torch.equal(state, torch.get_rng_state())


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="between 2 and 3 images, got 1"):
        kernel_distance(images(0.0, 1.0, 2.0), images(0.0, 1.0, 2.0), red)
    with pytest.raises(ValueError, match="no covariance in 3 dimensions"):
        split_frechet_distance(torch.rand(6, 3, 4, 4), torch.rand(6, 3, 4, 4), lambda x: x.mean(dim=(2, 3)))
    with pytest.raises(ValueError, match="not as many"):
        split_frechet_distance(torch.rand(6, 3, 4, 4), torch.rand(5, 3, 4, 4), red)


def test_without_torchmetrics_the_message_says_what_to_install(monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "torchmetrics"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(ModuleNotFoundError, match="pip install torchmetrics"):
        kernel_distance(torch.rand(6, 3, 4, 4), torch.rand(6, 3, 4, 4), red)
