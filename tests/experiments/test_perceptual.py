"""LPIPS against the documented values, against torchmetrics, and by hand on a network of one layer."""

import pytest
import torch
from perceptual import HEADS, LPIPS, TAPS, TRUNK, load_lpips
from torch import nn


@pytest.fixture(scope="module")
def weights(data):
    folder = data / "weights"
    if not all((folder / name).is_file() for name in (TRUNK, HEADS)):
        pytest.skip(f"there are no LPIPS weights in {folder}: put {TRUNK} and {HEADS} there")
    return folder


@pytest.fixture(scope="module")
def lpips(weights):
    return load_lpips(weights)


def example():
    """The pair of images of the documentation of torchmetrics, which are in [-1, 1] there."""
    rng = torch.Generator().manual_seed(42)
    return torch.rand(2, 3, 100, 100, generator=rng), torch.rand(2, 3, 100, 100, generator=rng)


def test_documented_values(lpips):
    torch.testing.assert_close(lpips(*example()), torch.tensor([0.1024, 0.0938]), atol=6e-5, rtol=0)


def test_equal_images_order_and_symmetry(lpips):
    first, second = example()
    assert lpips(first, first).tolist() == [0.0, 0.0]
    torch.testing.assert_close(lpips(first.flip(0), second.flip(0)), lpips(first, second).flip(0))
    torch.testing.assert_close(lpips(second, first), lpips(first, second))
    assert not lpips(first.requires_grad_(), second).requires_grad


def test_it_agrees_with_torchmetrics(lpips, weights, tmp_path, monkeypatch):
    from safetensors.torch import load_file
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    from torchvision.models import SqueezeNet1_1_Weights

    stored = tmp_path / "hub" / "checkpoints" / SqueezeNet1_1_Weights.DEFAULT.url.rsplit("/", 1)[1]
    stored.parent.mkdir(parents=True)
    torch.save({name: value.float() for name, value in load_file(weights / TRUNK).items()}, stored)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs = LearnedPerceptualImagePatchSimilarity(net_type="squeeze", reduction="mean", normalize=True)
    for first, second in zip(*example(), strict=True):
        theirs.reset()
        ours = lpips(first[None], second[None])[0]
        torch.testing.assert_close(theirs(first[None], second[None]), ours, atol=1e-5, rtol=1e-4)


def test_one_layer_by_hand():
    features = nn.Sequential(*(nn.Identity() for _ in range(13)))
    one = LPIPS(features, [torch.tensor([1.0, 2.0, 4.0])] + [torch.zeros(3)] * (len(TAPS) - 1))
    one.shift.zero_()
    one.scale.fill_(1)
    red, green = (torch.full((1, 3, 32, 32), 0.5) for _ in range(2))  # 0.5 becomes 0
    red[:, 0], green[:, 1, 16:] = 1, 0.75
    green[:, 0, :16] = 0.6
    # Unit vectors: equal in the upper half, (1, 0, 0) against (0, 1, 0) in the lower: (1 + 2) / 2.
    torch.testing.assert_close(one(red, green), torch.tensor([1.5]), atol=1e-4, rtol=0)


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ValueError, match=f"{TRUNK} and {HEADS}"):
        load_lpips(tmp_path)


def test_what_cannot_be_compared_is_refused():
    module = LPIPS(nn.Sequential(), [])
    with pytest.raises(ValueError, match="in pairs"):
        module(torch.rand(2, 3, 40, 40), torch.rand(1, 3, 40, 40))
    with pytest.raises(ValueError, match="at least 32 pixels"):
        module(torch.rand(1, 3, 31, 40), torch.rand(1, 3, 31, 40))
