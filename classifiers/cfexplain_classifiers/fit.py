"""Give a classifier that has no loss estimator one, fitted after the fact on frozen features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cfexplain.types import Classifier, Images, Prediction
from cfexplain_classifiers.estimator import LossEstimator, Scale, pool, ranking_loss
from cfexplain_classifiers.extended import Extended


class EstimatedClassifier(Extended):
    """A classifier together with a loss estimator that reads its taps; itself a `Classifier`."""

    def __init__(self, classifier: Classifier, estimator: LossEstimator, scale: Scale) -> None:
        super().__init__(classifier)
        self.estimator, self.scale = estimator, scale

    def usual_loss(self, index: int, share: float = 0.5) -> float:
        """Estimated loss below which this share of the correctly classified images of a class lies."""
        return self.scale.quantile(self.classes[index], share)

    def __call__(self, images: Images, /) -> Prediction:
        """Predict, with the estimated loss."""
        prediction = self.classifier(images)
        raw = self.estimator(prediction.features)
        return Prediction(prediction.logits, prediction.features, (raw - self.scale.mean) / self.scale.std)


@dataclass(frozen=True)
class FitRecipe:
    """How `fit_estimator` trains the head: AdamW on pooled features, ranking loss over all pairs of a batch."""

    width: int = 128
    epochs: int = 60
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    seed: int = 0


FOLDS = 5
"""Parts of the images; each is estimated by a head that was fitted on the others, to measure the yardstick."""


def fit_estimator(
    classifier: Classifier, batches: Iterable[tuple[Images, Tensor]], recipe: FitRecipe | None = None
) -> EstimatedClassifier:
    """Fit a loss estimator to a frozen classifier from labelled images that it was not trained on.

    Use validation images: on training images the losses are memorised and teach little. The head memorises too, so
    the quantiles of its yardstick are of images that it has not seen: of each fifth, estimated by a head fitted on
    the rest, in units of what that head says of the rest.

    Args:
        classifier: with tapped features, such as `cfexplain.wrap(model, taps=[...])` makes.
        batches: (images, labels); labels of -1 are left out.
        recipe: how to fit.

    Raises:
        ValueError: the classifier has no taps, or there are fewer than 32 labelled images.

    Source: the ranking loss of Yoo and Kweon 2019; fitting it on frozen features is ours.
    """
    recipe = recipe or FitRecipe()
    pooled, true, labels, predicted = _observe(classifier, batches)
    if not pooled:
        raise ValueError(
            "the classifier has no taps: wrap(model, taps=[...]) names the layers that the estimator reads"
        )
    if len(true) < 32:
        raise ValueError(f"{len(true)} labelled images are too few to fit a loss estimator, give at least 32")
    estimator = _fitted(pooled, true, recipe)
    unseen = Scale.measure(_unseen(pooled, true, recipe).cpu(), labels.cpu(), predicted.cpu(), classifier.classes)
    quantiles = {name: [unseen.mean + unseen.std * q for q in own] for name, own in unseen.quantiles.items()}
    mean, std = _spread(estimator(pooled))
    return EstimatedClassifier(classifier, estimator, Scale(float(mean), float(std), quantiles))


def _fitted(pooled: Sequence[Tensor], true: Tensor, recipe: FitRecipe) -> LossEstimator:
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        estimator = LossEstimator([f.shape[1] for f in pooled], recipe.width).to(true.device)
    with torch.enable_grad():
        _descend(estimator, pooled, true, recipe)
    return estimator.eval().requires_grad_(False)


def _unseen(pooled: Sequence[Tensor], true: Tensor, recipe: FitRecipe) -> Tensor:
    """Standardised estimates of all images, each by a head that has not seen it.

    Only the order of estimates is trained, so what two heads say can only be compared in units of their own.
    """
    estimated = torch.empty_like(true)
    order = torch.randperm(len(true), generator=torch.Generator().manual_seed(recipe.seed)).to(true.device)
    for fold in order.chunk(FOLDS):
        rest = order[~torch.isin(order, fold)]
        head = _fitted([f[rest] for f in pooled], true[rest], recipe)
        mean, std = _spread(head([f[rest] for f in pooled]))
        estimated[fold] = (head([f[fold] for f in pooled]) - mean) / std
    return estimated


def _spread(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, which is never 0."""
    return raw.mean(), raw.std().clamp_min(1e-6)


@torch.no_grad()
def _observe(
    classifier: Classifier, batches: Iterable[tuple[Images, Tensor]]
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Pooled features, true losses, labels and predictions of all labelled images."""
    rows: list[tuple[list[Tensor], Tensor, Tensor, Tensor]] = []
    for images, labels in batches:
        keep = labels >= 0
        if keep.any():
            prediction = classifier(images[keep])
            target = labels[keep].to(prediction.logits.device)
            true = F.cross_entropy(prediction.logits.float(), target, reduction="none")
            rows.append(([pool(f).float() for f in prediction.features], true, target, prediction.logits.argmax(1)))
    if not rows:
        raise ValueError("no labelled image was given to fit the loss estimator on")
    features = [torch.cat(tap) for tap in zip(*(r[0] for r in rows), strict=True)]
    return features, torch.cat([r[1] for r in rows]), torch.cat([r[2] for r in rows]), torch.cat([r[3] for r in rows])


def _descend(estimator: LossEstimator, pooled: Sequence[Tensor], true: Tensor, recipe: FitRecipe) -> None:
    rng = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(estimator.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(true), generator=rng).split(recipe.batch_size):
            chosen = chosen.to(true.device)
            optimizer.zero_grad(set_to_none=True)
            cost = ranking_loss(estimator([f[chosen] for f in pooled]), true[chosen])
            cost.backward()
            optimizer.step()
