"""Do shown images, taken together, look like real ones?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cfexplain.types import Images

Encoder = Callable[[Images], "Float[Tensor, 'n d']"]
"""From images to one vector each, for example `lambda x: pooled(classifier(x).features)`."""


def kernel_distance(
    real: Images,
    shown: Images,
    encoder: Encoder,
    *,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """KID with an encoder of your own: squared maximum mean discrepancy of a cubic kernel, mean and spread.

    MMD^2 = mean k(r, r') + mean k(s, s') - 2 mean k(r, s) over distinct images, k(a, b) = (a.b / d + 1)^3. It has
    no bias by the number of images, and so may be negative; about 0 is the same distribution. The spread over
    random subsets is not a confidence interval: below some hundred images, bootstrap over lesions instead. Values
    compare only within one encoder and with the value of real against other real images.

    Args:
        real: images of the target class, of no explained lesion.
        shown: counterfactuals.
        encoder: took no part in the search.
        subsets: drawn at random, without return within one.
        subset_size: images of each in a subset; half of the smaller batch by default.
        seed: of the subsets.

    Returns:
        Mean and standard deviation over subsets.

    Raises:
        ModuleNotFoundError: torchmetrics is not installed.
        ValueError: a subset would hold fewer than two images, or more than there are.

    Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018, by torchmetrics; there with Inception v3.
    """
    fewest = min(len(real), len(shown))
    size = fewest // 2 if subset_size is None else subset_size
    if not 2 <= size <= fewest:
        raise ValueError(f"subsets must hold between 2 and {fewest} images, got {size}: give more images")
    images = _torchmetrics("kid")
    features = _embedded(real, encoder), _embedded(shown, encoder)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore", UserWarning)  # that features are kept in memory: they already are
        measure = images.KernelInceptionDistance(_AsIs(features[0].shape[1]), subsets=subsets, subset_size=size)
        torch.default_generator.manual_seed(seed)
        mean, spread = _compared(measure, *features)
    return float(mean), float(spread)


def split_frechet_distance(
    queries: Images, shown: Images, encoder: Encoder, *, splits: int = 10, seed: int = 0
) -> float:
    """SFID with an encoder of your own: Fréchet distance of queries to the counterfactuals of other queries.

    Mean over random halvings of the mean of FID(queries of one half, counterfactuals of the other) both ways;
    FID = |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)). Without the halving a counterfactual is compared with its own
    query, of which it is nearly a copy. FID grows as images get fewer, faster the more dimensions d there are:
    compare only at one n, and give the value of queries against other queries beside it.

    Args:
        queries: n images.
        shown: their counterfactuals, in the same order.
        encoder: took no part in the search, to d < n / 2 dimensions.
        splits: random halvings.
        seed: of the halvings.

    Raises:
        ModuleNotFoundError: torchmetrics is not installed.
        ValueError: there are not as many counterfactuals as queries, or so few that a half has no covariance in d
            dimensions; use `kernel_distance` then.

    Source: Jeanneret et al., "Adversarial Counterfactual Visual Explanations", CVPR 2023, by torchmetrics; there
    with Inception v3.
    """
    if len(queries) != len(shown):
        raise ValueError(f"{len(shown)} counterfactuals are not as many as {len(queries)} queries")
    images = _torchmetrics("fid")
    before, after = _embedded(queries, encoder), _embedded(shown, encoder)
    half, dimensions = len(before) // 2, before.shape[1]
    if half <= dimensions:
        raise ValueError(f"halves of {half} images have no covariance in {dimensions} dimensions: use kernel_distance")
    measure, rng, found = images.FrechetInceptionDistance(_AsIs(dimensions)), torch.Generator().manual_seed(seed), []
    for _ in range(splits):
        order = torch.randperm(len(before), generator=rng)
        for one, other in ((order[:half], order[half:]), (order[half:], order[:half])):
            found.append(float(_compared(measure, before[one], after[other])))
            measure.reset()
    return sum(found) / len(found)


class _AsIs(nn.Module):
    """An encoder of what is encoded, since torchmetrics asks for one."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _compared(measure: Any, real: Tensor, shown: Tensor) -> Any:
    measure.update(real, real=True)
    measure.update(shown, real=False)
    return measure.compute()


@torch.no_grad()
def _embedded(images: Images, encoder: Encoder, batch: int = 64) -> Float[Tensor, "n d"]:
    """Features in double precision on the CPU: covariances of single precision are no longer positive."""
    return torch.cat([encoder(part).detach().cpu().double() for part in images.split(batch)])


def _torchmetrics(name: str) -> Any:
    try:
        return import_module(f"torchmetrics.image.{name}")
    except ModuleNotFoundError:
        raise ModuleNotFoundError("distances of distributions need torchmetrics: pip install torchmetrics") from None
