"""Centroids: distances by hand, strangers are far from every class, refusals."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cfexplain
from cfexplain.method.objective import total
from cfexplain.terms import NearClass
from cfexplain.types import Candidate, Prediction, Problem
from cfexplain_classifiers import fit_centroids
from cfexplain_classifiers.duq import CentroidRecipe, Centroids, binary_cross_entropy


def two_colours(count, seed):
    """Reddish and bluish flat pictures, their labels."""
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
def fitted():
    return fit_centroids(wrapped(), [two_colours(300, 0)], CentroidRecipe(size=8))


def test_distances_by_hand():
    features = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 2.0], [2.0, 0.0]])
    centroids = Centroids(features, torch.tensor([0, 1, 0, 1]), 2, CentroidRecipe(size=2, length_scale=0.5))
    with torch.no_grad():
        centroids.weight.copy_(torch.eye(2).expand(2, 2, 2))
    spread = float(features[:, 0].std())
    torch.testing.assert_close(centroids.centres, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]) / spread)
    found = centroids(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    far = (2 / spread) ** 2 / 2 / (2 * 0.5**2)
    torch.testing.assert_close(found, torch.tensor([[0.0, far], [far, 0.0]]))


def test_the_loss_is_that_of_the_kernels():
    distances, own = torch.tensor([[0.3, 4.0], [1.0, 0.2]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    expected = F.binary_cross_entropy(torch.exp(-distances), own)
    torch.testing.assert_close(binary_cross_entropy(distances, own), expected)
    assert bool(binary_cross_entropy(torch.tensor([[500.0, 500.0]]), own[:1]).isfinite())


def test_own_class_is_near_and_strangers_are_far_from_all(fitted):
    images, labels = two_colours(200, 1)
    distances = fitted.distances(fitted(images).features)
    assert float((distances.argmin(1) == labels).float().mean()) > 0.9
    strangers = images.roll(1, dims=1)
    strangers[:, 1] = 1
    far = fitted.distances(fitted(strangers).features)
    assert float(far.min(1).values.min()) > float(distances.min(1).values.quantile(0.95))


def test_the_classifier_stays_as_it_was(fitted):
    images, _ = two_colours(5, 2)
    assert torch.equal(fitted(images).logits, wrapped()(images).logits)
    assert (list(fitted.classes), fitted.image_size) == (["blue", "red"], 8)
    assert not any(p.requires_grad for p in fitted.centroids.parameters())
    with pytest.raises(ValueError, match="fit_estimator"):
        fitted.usual_loss(0)


def test_fitting_is_reproducible(fitted):
    again = fit_centroids(wrapped(), [two_colours(300, 0)], CentroidRecipe(size=8))
    assert torch.equal(again.centroids.weight, fitted.centroids.weight)


def test_descent_on_the_term_moves_towards_the_target_class(fitted):
    images, labels = two_colours(6, 3)
    target = 1 - labels
    problem = Problem(images, fitted, fitted(images), target)
    objective = total((1.0, NearClass()))
    assert objective.uses_classifier(0)
    moving = images.clone().requires_grad_()
    before = fitted(images).probabilities.gather(1, target[:, None])
    for _ in range(50):
        value = objective(Candidate(moving, problem, fitted(moving)))
        (gradient,) = torch.autograd.grad(value.sum(), moving)
        moving = (moving - 0.005 * gradient.sign()).detach().requires_grad_()
    after = fitted(moving).probabilities.gather(1, target[:, None])
    assert bool((after > before).all())
    assert float(after.detach().min()) > 0.5


def test_refusals(fitted):
    with pytest.raises(ValueError, match="0 taps"):
        fit_centroids(wrapped(taps=()), [two_colours(50, 0)])
    images, labels = two_colours(50, 0)
    with pytest.raises(ValueError, match="at least 5"):
        fit_centroids(wrapped(), [(images, torch.zeros_like(labels))])
    with pytest.raises(ValueError, match="no labelled image"):
        fit_centroids(wrapped(), [(images, torch.full_like(labels, -1))])
    bare = wrapped()
    with pytest.raises(ValueError, match="fit_centroids"):
        NearClass()(Candidate(images, Problem(images, bare, bare(images), labels), Prediction(images[:, :, 0, 0])))
