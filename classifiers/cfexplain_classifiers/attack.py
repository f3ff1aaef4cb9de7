"""Adversarial images: small changes that raise the classifier's loss the most."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from cfexplain.types import Images
from cfexplain_classifiers.network import LesionClassifier


def attack(
    network: LesionClassifier,
    images: Images,
    labels: Int[Tensor, " n"],
    epsilon: float | Tensor,
    rng: torch.Generator,
    *,
    steps: int = 1,
) -> Images:
    """Images at most `epsilon` away (intensity, every pixel) whose cross entropy is higher.

    From x + U(-epsilon, epsilon), each step adds a * sign(gradient of the cross entropy), is cut to
    [x - epsilon, x + epsilon] and to [0, 1]; a = 1.25 epsilon for one step, 2.5 epsilon / steps for more.

    The network is attacked in evaluation mode: the passes then move no running statistics of the
    normalisation, draw no dropout, and aim at the very function that is deployed. Its mode is as before
    afterwards, and no parameter's `.grad` is touched.

    Args:
        network: whose loss is raised.
        images: clean ones.
        labels: their true classes.
        epsilon: largest change, one for all or of shape (n, 1, 1, 1).
        rng: of the random start.
        steps: of signed gradient.

    Source: one step: Wong, Rice and Kolter, "Fast is better than free", ICLR 2020, algorithm 3 (random start,
    a = 1.25 epsilon); more: Madry et al., ICLR 2018. Evaluation mode is ours.
    """
    radius = torch.as_tensor(epsilon, device=images.device, dtype=images.dtype)
    size = (1.25 if steps == 1 else 2.5 / steps) * radius
    change = (2 * torch.rand(images.shape, generator=rng).to(images) - 1) * radius
    was_training = network.training
    network.eval()
    for _ in range(steps):
        shown = (images + change).clamp(0, 1).requires_grad_()
        with torch.enable_grad():
            cost = F.cross_entropy(network.taps(shown)[0].float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(cost, shown)
        change = torch.minimum(torch.maximum(change + size * gradient.sign(), -radius), radius)
    network.train(was_training)
    return (images + change).clamp(0, 1)
