"""The loss estimator: size, ranking loss, scale, and fitting one to a frozen classifier."""

import pytest
import torch
from torch import nn

import cfexplain
from cfexplain_classifiers import LossEstimator, fit_estimator, ranking_loss
from cfexplain_classifiers.estimator import Scale


def test_the_published_head_has_its_published_size():
    estimator = LossEstimator((64, 128, 256, 512))
    assert sum(p.numel() for p in estimator.parameters()) == 123_905
    assert estimator([torch.rand(2, c, 4, 4) for c in (64, 128, 256, 512)]).shape == (2,)


def test_ranking_loss_by_hand():
    true = torch.tensor([1.0, 2.0, 3.0])
    assert float(ranking_loss(torch.tensor([0.0, 5.0, 10.0]), true)) == 0
    assert float(ranking_loss(torch.tensor([10.0, 5.0, 0.0]), true)) == pytest.approx((6 + 11 + 6) / 3)
    assert float(ranking_loss(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]))) == 0, "ties are not ranked"


def test_no_gradient_reaches_the_true_loss():
    true = torch.tensor([1.0, 2.0], requires_grad=True)
    estimated = torch.tensor([1.0, 0.0], requires_grad=True)
    ranking_loss(estimated, true).backward()
    assert true.grad is None
    assert estimated.grad is not None


def test_the_scale_standardises_and_has_quantiles():
    raw = torch.randn(500, generator=torch.Generator().manual_seed(0)) * 3 + 7
    labels = torch.arange(500) % 2
    scale = Scale.measure(raw, labels, labels, ("a", "b"))
    assert scale.mean == pytest.approx(7, abs=0.5)
    assert scale.std == pytest.approx(3, abs=0.3)
    assert scale.quantile("a", 0.05) < scale.quantile("a", 0.5) < scale.quantile("a", 0.95)
    with pytest.raises(ValueError, match="class c"):
        scale.quantile("c")


class Net(nn.Module):
    """Right if the image is bright, guessing if it is dark."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1, bias=False)
        nn.init.constant_(self.stem.weight, 1 / 3)

    def forward(self, x):
        x = self.stem(x)
        contrast = x[..., :8].mean(dim=(1, 2, 3)) - x[..., 8:].mean(dim=(1, 2, 3))
        return torch.stack([-20 * contrast, 20 * contrast], dim=1)


def dark_or_bright(count, seed):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=rng)
    level = torch.rand(count, generator=rng)
    side = torch.where(torch.arange(16) < 8, 1.0, -1.0) * (labels * 2 - 1)[:, None] * 0.2 * level[:, None]
    images = (0.2 + 0.5 * level[:, None, None, None] + side[:, None, None, :]).expand(-1, 3, 16, 16)
    noise = 0.1 * torch.randn(count, 1, 1, 16, generator=rng)
    return (images + noise).clamp(0, 1).contiguous(), labels


def test_an_estimator_can_be_fitted_to_any_model():
    from scipy.stats import spearmanr

    model = Net().eval()
    classifier = cfexplain.wrap(model, taps=["stem"], classes=["l", "r"], image_size=16, mean=(0,) * 3, std=(1,) * 3)
    fitted = fit_estimator(classifier, [dark_or_bright(400, 0)])
    images, labels = dark_or_bright(400, 1)
    prediction = fitted(images)
    true = nn.functional.cross_entropy(prediction.logits.detach(), labels, reduction="none")
    assert spearmanr(prediction.loss.detach(), true).statistic > 0.6, "bright images have lower losses"
    assert fitted.usual_loss(0, 0.5) == pytest.approx(float(prediction.loss.detach().median()), abs=1)
    with pytest.raises(ValueError, match="no taps"):
        fit_estimator(cfexplain.wrap(model, classes=["l", "r"]), [dark_or_bright(100, 0)])
    with pytest.raises(ValueError, match="too few"):
        fit_estimator(classifier, [dark_or_bright(10, 0)])


class Noise(nn.Module):
    """Features that carry no information about its errors, so that a head can only overfit."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Flatten()

    def forward(self, x):
        numbers = self.stem(x)
        return torch.stack([numbers[:, 0] * 0 + 0.1, numbers[:, 0] * 0], dim=1) * (1 + numbers[:, :1].abs())


def test_the_quantiles_of_a_fitted_estimator_hold_for_new_images():
    rng = torch.Generator().manual_seed(0)
    images, labels = torch.rand(800, 3, 16, 16, generator=rng), torch.randint(2, (800,), generator=rng)
    plain = {"image_size": 16, "mean": (0,) * 3, "std": (1,) * 3}
    classifier = cfexplain.wrap(Noise().eval(), taps=["stem"], classes=["l", "r"], **plain)
    fitted = fit_estimator(classifier, [(images[:200], labels[:200])])
    estimated, right = fitted(images[200:]).loss, labels[200:] == 0
    below = float((estimated[right] <= fitted.usual_loss(0, 0.95)).float().mean())
    assert 0.88 <= below <= 0.995, f"{below:.2f} of new images lie below the quantile .95"
