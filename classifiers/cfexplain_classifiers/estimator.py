"""The loss estimator: a small head that reads tapped features and says how wrong the prediction is likely to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Pairs = Literal["all", "flip"]


class LossEstimator(nn.Module):
    """Estimated loss of a prediction from the features behind it.

    Each tapped map is averaged over its positions, passed through Linear(channels, width) and ReLU; the
    results are concatenated and passed through Linear(taps * width, 1). With channels (64, 128, 256, 512)
    and width 128 this is the head of Yoo and Kweon, 123,905 parameters.

    Shape:
        features: one tensor a tap, (n, c, h, w), (n, tokens, c) or (n, c).
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
        seen = [F.relu(tap(pool(f).to(self.head.weight.dtype))) for tap, f in zip(self.taps, features, strict=True)]
        estimated: Tensor = self.head(torch.cat(seen, dim=1)).squeeze(1)
        return estimated


def pool(feature: Tensor) -> Float[Tensor, "n c"]:
    """Average a tapped activation over its positions: maps (n, c, h, w), tokens (n, t, c) or vectors (n, c)."""
    if feature.ndim == 4:
        return feature.mean(dim=(2, 3))
    return feature.mean(dim=1) if feature.ndim == 3 else feature


def ranking_loss(
    estimated: Float[Tensor, " n"], true: Float[Tensor, " n"], *, margin: float = 1.0, pairs: Pairs = "all"
) -> Float[Tensor, ""]:
    """Penalty for estimates that order two images otherwise than their true losses do.

    Mean over pairs (i, j) of max(0, margin - sign(l_i - l_j) (e_i - e_j)), with l the true loss (no gradient
    flows into it) and e the estimate. `flip` pairs image k with image n-1-k, as published; `all` takes every
    pair whose true losses differ, the same expectation with less variance.

    Source: Yoo and Kweon 2019, equation 2; `all` is ours.

    Example:
        >>> ranking_loss(torch.tensor([2.0, 0.0]), torch.tensor([5.0, 1.0])).item()
        0.0
        >>> ranking_loss(torch.tensor([0.0, 2.0]), torch.tensor([5.0, 1.0])).item()
        3.0
    """
    true = true.detach()
    if pairs == "flip":
        half = len(true) // 2
        first, second = slice(0, half), torch.arange(len(true) - 1, len(true) - 1 - half, -1)
        order, gap = torch.sign(true[first] - true[second]), estimated[first] - estimated[second]
    else:
        i, j = torch.triu_indices(len(true), len(true), offset=1, device=true.device)
        order, gap = torch.sign(true[i] - true[j]), estimated[i] - estimated[j]
    untied = order != 0
    penalties = F.relu(margin - order * gap)[untied]
    return penalties.mean() if untied.any() else estimated.sum() * 0


@dataclass(frozen=True)
class Scale:
    """The estimator's yardstick, measured on validation images.

    Attributes:
        mean: of the raw estimate; subtracted.
        std: of the raw estimate; divided by.
        quantiles: of the standardised estimate of correctly classified images, by class name, at `QUANTILES`.
    """

    mean: float = 0.0
    std: float = 1.0
    quantiles: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def measure(cls, raw: Float[Tensor, " n"], labels: Tensor, predicted: Tensor, classes: Sequence[str]) -> Scale:
        """Standardisation and per-class quantiles from the raw estimates of a validation set."""
        mean, std = float(raw.mean()), float(raw.std().clamp_min(1e-6)) if len(raw) > 1 else 1.0
        standardised = (raw - mean) / std
        quantiles = {}
        for index, name in enumerate(classes):
            chosen = standardised[(labels == index) & (predicted == labels)]
            chosen = chosen if len(chosen) >= 5 else standardised[predicted == labels]
            if len(chosen):
                quantiles[name] = torch.quantile(chosen, torch.tensor(QUANTILES)).tolist()
        return cls(mean, std, quantiles)

    def quantile(self, name: str, share: float = 0.5) -> float:
        """Standardised estimate below which this share of the correct validation images of a class lies."""
        if name not in self.quantiles or share not in QUANTILES:
            raise ValueError(
                f"no quantile {share} is known for class {name}: the estimator was not calibrated, or use {QUANTILES}"
            )
        return self.quantiles[name][QUANTILES.index(share)]
