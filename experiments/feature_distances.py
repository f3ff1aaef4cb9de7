"""How ordinary is the shown image among real images of its class?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def percentile_among(values: Float[Tensor, " n"], reference: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    """Percentile of each value among held-out values, in [0, 100]: 100 (#less + #equal / 2) / m, the mid-rank.

    With the estimated loss of real images of the target class as reference, 50 is an image as ordinary as their
    middle, and above 95 one stranger than nineteen in twenty of them.

    Raises:
        ValueError: there is no reference, or a value is undefined.

    Example:
        >>> percentile_among(torch.tensor([0.0, 2.0, 9.0]), torch.tensor([1.0, 2.0, 2.0, 3.0]))
        tensor([  0.,  50., 100.])
    """
    if reference.numel() == 0:
        raise ValueError("there are no held-out values to compare with")
    if bool(values.isnan().any()) or bool(reference.isnan().any()):
        raise ValueError("undefined values have no rank: leave them out")
    less = (reference[None] < values[:, None]).double().mean(1)
    equal = (reference[None] == values[:, None]).double().mean(1)
    return (100 * (less + equal / 2)).to(values)


@torch.no_grad()
def knn_distance(features: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], k: int = 5) -> Float[Tensor, " n"]:
    """Mean Euclidean distance to the k nearest real images, in units of the reference's standard deviation.

    Each dimension is divided by its standard deviation over the reference (a constant one is left as it is). The
    number grows with d and shrinks with m: compare it with that of held-out real images, by `percentile_among`.

    Args:
        features: of shown images, see `pooled`.
        reference: of real images of the target class; none of them may show a lesion that is explained.
        k: neighbours.

    Raises:
        ValueError: the reference has fewer than k images, or other dimensions than the features.

    Example:
        >>> knn_distance(torch.tensor([[0.0]]), torch.tensor([[-1.0], [1.0]]), k=2)
        tensor([1.])
    """
    if features.shape[1] != reference.shape[1]:
        raise ValueError(f"features have {features.shape[1]} dimensions but the reference {reference.shape[1]}")
    if not 1 <= k <= len(reference):
        raise ValueError(f"k must lie between 1 and the {len(reference)} reference images, got {k}")
    spread = reference.std(0, correction=0)
    scale = torch.where(spread > 0, spread, 1)
    distances = torch.cdist(features / scale, reference / scale, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.topk(k, dim=1, largest=False).values.mean(1)


@torch.no_grad()
def pooled(prediction_features: Sequence[Tensor]) -> Float[Tensor, "n d"]:
    """Tapped features as one vector an image: the mean of each tap over its positions, one tap after the other.

    Args:
        prediction_features: `Prediction.features`: maps (n, c, h, w), tokens (n, positions, c) or vectors (n, c).

    Raises:
        ValueError: the classifier has no taps, or one of another shape.

    Example:
        >>> pooled([torch.ones(2, 3, 4, 4), torch.ones(2, 7, 5), torch.ones(2, 6)]).shape
        torch.Size([2, 14])
    """
    if not prediction_features:
        raise ValueError("the prediction has no features: wrap the classifier with taps=[...]")
    return torch.cat([_mean_of_positions(tap).float() for tap in prediction_features], dim=1)


def _mean_of_positions(tap: Tensor) -> Float[Tensor, "n c"]:
    over = {2: (), 3: (1,), 4: (2, 3)}.get(tap.ndim)
    if over is None:
        raise ValueError(f"a tap must have shape (n, c), (n, positions, c) or (n, c, h, w), got {tuple(tap.shape)}")
    return tap.mean(dim=over) if over else tap
