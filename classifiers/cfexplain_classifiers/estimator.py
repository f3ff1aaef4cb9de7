"""The loss estimator: a small head that predicts the loss of a classification from its intermediate features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cfexplain.types import Classifier, Images, Prediction
from cfexplain_classifiers.batches import labelled

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FOLDS, EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 5, 60, 128, 1e-3, 1e-2


class LossEstimator(nn.Module):
    """Predicts the loss of a classification from tapped features.

    Each is averaged over its positions and passed through Linear(channels, width) and ReLU, and all of these together
    through Linear(taps * width, 1).

    Shape:
        features: one tensor per tap, (n, c, h, w), (n, tokens, c) or (n, c).
        returns: (n,), without unit: only its order is trained (see `ranking_loss`).

    Source: Yoo and Kweon, "Learning Loss for Active Learning", CVPR 2019, section 3.2.

    Example:
        >>> sum(p.numel() for p in LossEstimator((64, 128, 256, 512)).parameters())
        123905
    """

    def __init__(self, channels: Sequence[int], width: int = 128) -> None:
        super().__init__()
        self.taps = nn.ModuleList(nn.Linear(c, width) for c in channels)
        self.head = nn.Linear(len(channels) * width, 1)

    def forward(self, features: Sequence[Tensor]) -> Float[Tensor, " n"]:
        """Estimate the loss of each image of the batch."""
        hidden = [F.relu(tap(pool(f).to(self.head.weight.dtype))) for tap, f in zip(self.taps, features, strict=True)]
        return torch.squeeze(self.head(torch.cat(hidden, dim=1)), 1)


def pool(feature: Tensor) -> Float[Tensor, "n c"]:
    """Average an activation over its positions: maps (n, c, h, w), tokens (n, t, c) or vectors (n, c)."""
    positions = {4: (2, 3), 3: (1,)}.get(feature.ndim)
    return feature.mean(positions) if positions else feature


def ranking_loss(
    estimated: Float[Tensor, " n"], true: Float[Tensor, " n"], *, margin: float = 1.0
) -> Float[Tensor, ""]:
    """Penalty for estimated losses that order two images differently from their true losses.

    Mean of max(0, margin - sign(l_i - l_j) (e_i - e_j)) over all pairs (i, j) whose true losses l differ; e are the
    estimates. No gradient flows into the true losses.

    Source: Yoo and Kweon 2019, equation 2. They pair image k with image n-1-k; taking all pairs, which has the same
    expectation and less variance, is ours.

    Example:
        >>> ranking_loss(torch.tensor([0.0, 2.0]), torch.tensor([5.0, 1.0])).item()
        3.0
    """
    i, j = torch.triu_indices(len(true), len(true), offset=1, device=true.device)
    order = torch.sign(true.detach()[i] - true.detach()[j])
    penalties = F.relu(margin - order * (estimated[i] - estimated[j]))[order != 0]
    return penalties.mean() if len(penalties) else estimated.sum() * 0


@dataclass(frozen=True)
class Scale:
    """Standardisation and quantiles of the raw estimates on validation images."""

    mean: float = 0.0
    std: float = 1.0
    # of the standardised estimates of correctly classified images, by class name, at `QUANTILES`
    quantiles: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, raw: Float[Tensor, " n"]) -> Scale:
        """Standardisation by the mean and standard deviation of raw estimates, without quantiles."""
        return cls(float(raw.mean()), float(raw.std().clamp_min(1e-6)) if len(raw) > 1 else 1.0)

    @classmethod
    def measure(cls, raw: Float[Tensor, " n"], labels: Tensor, predicted: Tensor, classes: Sequence[str]) -> Scale:
        """Standardisation and quantiles; a class with fewer than 5 correct images gets the quantiles of all classes."""
        scale = cls.of(raw)
        standardised, correct = scale.standardise(raw), predicted == labels
        quantiles = {}
        for index, name in enumerate(classes):
            own = standardised[correct & (labels == index)]
            selected = own if len(own) >= 5 else standardised[correct]
            if len(selected):
                quantiles[name] = torch.quantile(selected, torch.tensor(QUANTILES)).tolist()
        return replace(scale, quantiles=quantiles)

    def standardise(self, raw: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Raw estimates in standard deviations from the mean of the validation images."""
        return (raw - self.mean) / self.std

    def quantile(self, name: str, share: float = 0.5) -> float:
        """A quantile of the standardised estimate over the correctly classified validation images of a class."""
        if name not in self.quantiles or share not in QUANTILES:
            raise ValueError(
                f"no quantile {share} is known for class {name}: the estimator was not calibrated, or use {QUANTILES}"
            )
        return self.quantiles[name][QUANTILES.index(share)]


class EstimatedClassifier:
    """A classifier with a loss estimator that reads its taps; itself a `Classifier`."""

    def __init__(self, classifier: Classifier, estimator: LossEstimator, scale: Scale) -> None:
        self.classifier, self.estimator, self.scale = classifier, estimator, scale
        self.classes, self.image_size = classifier.classes, classifier.image_size
        self.module, self.tap_names = getattr(classifier, "module", None), getattr(classifier, "tap_names", ())

    def usual_loss(self, index: int, share: float = 0.5) -> float:
        """A quantile of the estimated loss over correctly classified images of a class, see `Scale.quantile`."""
        return self.scale.quantile(self.classes[index], share)

    def __call__(self, images: Images, /) -> Prediction:
        """Predict, with the estimated loss."""
        prediction = self.classifier(images)
        return replace(prediction, loss=self.scale.standardise(self.estimator(prediction.features)))


def fit_estimator(
    classifier: Classifier, batches: Iterable[tuple[Images, Tensor]], *, seed: int = 0
) -> EstimatedClassifier:
    """Fit a loss estimator to a frozen classifier from labelled images that it was not trained on.

    Use validation images: on its training images a classifier's losses are too small to learn from. The estimator
    overfits too, so its quantiles are those of out-of-fold estimates: each fifth of the images is estimated by a head
    fitted on the other four, in units of that head's estimates of these four.

    Args:
        classifier: with tapped features, such as `cfexplain.wrap(model, taps=[...])` returns.
        batches: (images, labels); labels of -1 are left out.
        seed: of weights, folds and order.

    Raises:
        ValueError: the classifier has no taps, or there are fewer than 32 labelled images.

    Source: the ranking loss of Yoo and Kweon 2019; fitting it on frozen features is ours.
    """
    pooled, true, labels, predicted = _observe(classifier, batches)
    estimator = _fit_head(pooled, true, seed)
    held_out = _out_of_fold(pooled, true, seed)
    unseen = Scale.measure(held_out.cpu(), labels.cpu(), predicted.cpu(), classifier.classes)
    quantiles = {name: [unseen.mean + unseen.std * q for q in values] for name, values in unseen.quantiles.items()}
    return EstimatedClassifier(classifier, estimator, replace(Scale.of(estimator(pooled)), quantiles=quantiles))


@torch.no_grad()
def _observe(
    classifier: Classifier, batches: Iterable[tuple[Images, Tensor]]
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    rows = []
    for images, labels in labelled(batches):
        prediction = classifier(images)
        rows.append((prediction.logits.float(), labels, *(pool(f).float() for f in prediction.features)))
    count = sum(len(labels) for _, labels, *_ in rows)
    if count < 32:
        raise ValueError(f"{count} labelled images are too few to fit a loss estimator, give at least 32")
    logits, labels, *pooled = map(torch.cat, zip(*rows, strict=True))
    if not pooled:
        raise ValueError(
            "the classifier has no taps: wrap(model, taps=[...]) names the layers that the estimator reads"
        )
    labels = labels.to(logits.device)
    return pooled, F.cross_entropy(logits, labels, reduction="none"), labels, logits.argmax(1)


@torch.enable_grad()
def _fit_head(pooled: Sequence[Tensor], true: Tensor, seed: int) -> LossEstimator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        estimator = LossEstimator([f.shape[1] for f in pooled]).to(true.device)
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(estimator.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(true), generator=rng).to(true.device).split(BATCH_SIZE):
            optimizer.zero_grad(set_to_none=True)
            ranking_loss(estimator([f[batch] for f in pooled]), true[batch]).backward()
            optimizer.step()
    return estimator.eval().requires_grad_(False)


def _out_of_fold(pooled: Sequence[Tensor], true: Tensor, seed: int) -> Tensor:
    # Only the order is trained, so estimates of two heads are comparable only in units of each head's own scale.
    estimated = torch.empty_like(true)
    order = torch.randperm(len(true), generator=torch.Generator().manual_seed(seed)).to(true.device)
    for fold in order.chunk(FOLDS):
        rest = order[~torch.isin(order, fold)]
        head = _fit_head([f[rest] for f in pooled], true[rest], seed)
        scale = Scale.of(head([f[rest] for f in pooled]))
        estimated[fold] = scale.standardise(head([f[fold] for f in pooled]))
    return estimated
