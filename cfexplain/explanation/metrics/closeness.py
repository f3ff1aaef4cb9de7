"""Is the shown image still the query, and nearer to it than other people's lesions are?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def feature_cosine(query: Float[Tensor, "n d"], shown: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Cosine of the features of query and shown image, in [-1, 1]; higher is closer.

    Args:
        query: features by an encoder that took no part in the search, see `naturalness.pooled`.
        shown: of the shown images, in the same order.

    Source: S3 of ACE (Jeanneret et al. 2023), there with a SimSiam encoder.
    """
    return F.cosine_similarity(query, shown, dim=1)


@torch.no_grad()
def latent_divergence(
    query: Float[Tensor, "n d"],
    shown: Float[Tensor, "n d"],
    *,
    target_class: Float[Tensor, "m d"],
    source_class: Float[Tensor, "k d"],
) -> Float[Tensor, " n"]:
    """Counterfactual latent divergence: log(0.8 e^P1 + 0.2 e^P2), in [0, 1]; lower is the smaller intervention.

    P1 is the share of real images of the target class that are at most as far from the query as its shown image
    is (an edit that goes farther than to a stranger of that class is no edit); P2 the share of real images of the
    source class that are at least as far (an edit within the spread of its own class changed nothing).

    Args:
        query: features of n queries, see `naturalness.pooled`.
        shown: features of their shown images.
        target_class: features of real images of the target class, for all n the same.
        source_class: features of real images of the query's class, without the queries.

    Raises:
        ValueError: a class has no images.

    Source: Sanchez and Tsaftaris, "Diffusion Causal Models for Counterfactual Estimation", CLeaR 2022; weights of
    the benchmark of Melistas et al., NeurIPS 2024. They measure distance as the KL divergence of the latents of a
    VAE, here it is Euclidean in the given features.

    Example:
        >>> query, shown = torch.tensor([[0.0]]), torch.tensor([[1.0]])
        >>> latent_divergence(query, shown, target_class=torch.tensor([[3.0]]), source_class=torch.tensor([[0.5]]))
        tensor([0.])
    """
    if not len(target_class) or not len(source_class):
        raise ValueError("real images of both classes are needed: one class has none")
    moved = (shown - query).norm(dim=1, keepdim=True)
    nearer = (_distances(query, target_class) <= moved).to(query).mean(1)
    farther = (_distances(query, source_class) >= moved).to(query).mean(1)
    return torch.log(0.8 * nearer.exp() + 0.2 * farther.exp())


def _distances(features: Tensor, reference: Tensor) -> Float[Tensor, "n m"]:
    return torch.cdist(features, reference, compute_mode="donot_use_mm_for_euclid_dist")
