"""Centroids of the comparison's ablation: distances by hand, loss, fitting, and the term that descends on them."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cfexplain
from cfexplain.method.objective import total
from cfexplain.types import Candidate, Prediction, Problem


@pytest.fixture(scope="module")
def centroids():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
        import centroids
    return centroids


def two_colours(count, seed):
    """Reddish and bluish flat images, and their labels."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=rng)
    images = 0.5 + 0.05 * torch.randn(count, 3, 1, 1, generator=rng)
    images[:, 0] += 0.2 * (labels[:, None, None] - 0.5)
    images[:, 2] -= 0.2 * (labels[:, None, None] - 0.5)
    return images.expand(-1, 3, 8, 8).clamp(0, 1).contiguous(), labels


class Colours(nn.Module):
    """Its tapped features are the colours."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Identity()

    def forward(self, images):
        colour = self.stem(images).mean(dim=(2, 3))
        return 20 * torch.stack([colour[:, 2] - colour[:, 0], colour[:, 0] - colour[:, 2]], dim=1)


def wrapped(taps=("stem",)):
    return cfexplain.wrap(
        Colours().eval(), taps=list(taps), classes=["blue", "red"], image_size=8, mean=(0,) * 3, std=(1,) * 3
    )


@pytest.fixture(scope="module")
def fitted(centroids):
    return centroids.fit_centroids(wrapped(), [two_colours(300, 0)], centroids.CentroidRecipe(size=8))


def test_distances_by_hand(centroids):
    features = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 2.0], [2.0, 0.0]])
    recipe = centroids.CentroidRecipe(size=2, length_scale=0.5)
    module = centroids.Centroids(features, torch.tensor([0, 1, 0, 1]), 2, recipe)
    with torch.no_grad():
        module.weight.copy_(torch.eye(2).expand(2, 2, 2))
    spread = float(features[:, 0].std())
    torch.testing.assert_close(module.centres, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]) / spread)
    far = (2 / spread) ** 2 / 2 / (2 * 0.5**2)
    distances = module(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    torch.testing.assert_close(distances, torch.tensor([[0.0, far], [far, 0.0]]))


def test_the_loss_is_the_binary_cross_entropy_of_the_kernels(centroids):
    distances, one_hot = torch.tensor([[0.3, 4.0], [1.0, 0.2]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    expected = F.binary_cross_entropy(torch.exp(-distances), one_hot)
    torch.testing.assert_close(centroids.binary_cross_entropy(distances, one_hot), expected)


def test_the_nearest_centroid_is_of_the_image_s_class(fitted):
    images, labels = two_colours(200, 1)
    prediction = fitted(images)
    assert torch.equal(prediction.logits, wrapped()(images).logits)
    assert float((fitted.distances(prediction.features).argmin(1) == labels).float().mean()) > 0.9


def test_descent_on_the_term_moves_towards_the_target_class(centroids, fitted):
    images, labels = two_colours(6, 3)
    target = 1 - labels
    problem, objective = Problem(images, fitted, fitted(images), target), total((1.0, centroids.NearClass()))
    moving = images.clone().requires_grad_()
    for _ in range(50):
        value = objective(Candidate(moving, problem, fitted(moving)))
        (gradient,) = torch.autograd.grad(value.sum(), moving)
        moving = (moving - 0.005 * gradient.sign()).detach().requires_grad_()
    assert float(fitted(moving.detach()).probabilities.gather(1, target[:, None]).min()) > 0.5


def test_unusable_input_is_refused(centroids):
    with pytest.raises(ValueError, match="no taps"):
        centroids.fit_centroids(wrapped(taps=()), [two_colours(50, 0)])
    images, labels = two_colours(50, 0)
    with pytest.raises(ValueError, match="at least 5"):
        centroids.fit_centroids(wrapped(), [(images, torch.zeros_like(labels))])
    bare = wrapped()
    candidate = Candidate(images, Problem(images, bare, bare(images), labels), Prediction(images[:, :, 0, 0]))
    with pytest.raises(ValueError, match="fit_centroids"):
        centroids.NearClass()(candidate)
