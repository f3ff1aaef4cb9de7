"""Images beside the training set, shown to the loss estimator so that it knows them when it meets them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain.types import Images
from cfexplain_classifiers.attack import attack
from cfexplain_classifiers.corruption import corrupted
from cfexplain_classifiers.network import LesionClassifier

Hardening = Callable[[Images, torch.Generator], Images]
"""(a batch of training images, rng) -> images off the distribution of the data, any number of them."""


def off_distribution(images: Images, rng: torch.Generator) -> Images:
    """A batch off the data's distribution, made of the batch: each image by one recipe drawn at random.

    The recipes: shuffled patches, swapped and mixed colour channels, coloured 1/f noise, two pasted halves
    with sharp edges, and strong contrast. Plain white noise, inverted colours and photographs are not among
    them: those are kept for `judge`.

    Source: ours.
    """
    if len(images) == 0:
        return images
    recipes = (_shuffled_patches, _mixed_channels, _coloured_noise, _pasted, _contrast)
    drawn = torch.randint(len(recipes), (len(images),), generator=rng)
    return torch.stack([recipes[int(r)](image, rng) for r, image in zip(drawn, images, strict=True)]).clamp(0, 1)


def disturbed(
    network: LesionClassifier, images: Images, labels: Int[Tensor, " n"], epsilon: float, rng: torch.Generator
) -> tuple[Images, Int[Tensor, " m"]]:
    """Lesions as they are, attacked and corrupted, with their labels: three times as many.

    The attack takes three steps within a distance of its own for every image, U(0, epsilon), so that their
    losses differ. The lesions as they are belong to it: whatever else sets the attacked ones apart in the
    features (here, that they are seen in evaluation mode) must not be what the estimator learns.

    Source: ours.
    """
    radius = epsilon * torch.rand(len(images), 1, 1, 1, generator=rng).to(images)
    attacked = attack(network, images, labels, radius, rng, steps=3)
    return torch.cat([images, attacked, corrupted(images.cpu(), rng).to(images)]), labels.repeat(3)


def true_loss(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Cross entropy of each image, `unknown_loss` where its label is -1 for none of the classes."""
    known = F.cross_entropy(logits, labels.clamp_min(0), reduction="none")
    return torch.where(labels < 0, unknown_loss(logits), known)


def unknown_loss(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Cross entropy of a prediction whose class is none of the known: the mean over all labels.

    It is ln(k) for an undecided classifier and grows with misplaced confidence.

    Source: ours.
    """
    return -logits.log_softmax(dim=1).mean(dim=1)


def _shuffled_patches(image: Tensor, rng: torch.Generator) -> Tensor:
    cells = int(torch.randint(2, 6, (), generator=rng))
    side = image.shape[-1] // cells
    patches = image[:, : side * cells, : side * cells].unfold(1, side, side).unfold(2, side, side)
    order = torch.randperm(cells * cells, generator=rng)
    moved = patches.reshape(3, cells * cells, side, side)[:, order].reshape(3, cells, cells, side, side)
    result = image.clone()
    result[:, : side * cells, : side * cells] = moved.permute(0, 1, 3, 2, 4).reshape(3, side * cells, side * cells)
    return result


def _mixed_channels(image: Tensor, rng: torch.Generator) -> Tensor:
    mixing = torch.randn(3, 3, generator=rng).softmax(dim=1)
    swapped = image[torch.tensor([[2, 1, 0], [1, 2, 0], [2, 0, 1], [1, 0, 2]])[torch.randint(4, (), generator=rng)]]
    mixed: Tensor = mixing @ swapped.flatten(1)
    return mixed.view_as(image)


def _coloured_noise(image: Tensor, rng: torch.Generator) -> Tensor:
    side = image.shape[-1]
    frequency = torch.fft.fftfreq(side)[:, None].square() + torch.fft.rfftfreq(side)[None].square()
    power = 0.3 + 1.2 * torch.rand((), generator=rng)
    spectrum = torch.fft.rfft2(torch.randn(3, side, side, generator=rng)) / frequency.clamp_min(1 / side**2) ** power
    spectrum[:, 0, 0] = 0
    field: Tensor = torch.fft.irfft2(spectrum, s=(side, side))
    return torch.rand(3, 1, 1, generator=rng) + 0.25 * field / field.std()


def _pasted(image: Tensor, rng: torch.Generator) -> Tensor:
    result = image.flip(0).clone()
    for _ in range(int(torch.randint(2, 6, (), generator=rng))):
        top, left = torch.randint(image.shape[-1] - 8, (2,), generator=rng).tolist()
        height, width = torch.randint(8, image.shape[-1], (2,), generator=rng).tolist()
        result[:, top : top + height, left : left + width] = torch.rand(3, 1, 1, generator=rng)
    return result


def _contrast(image: Tensor, rng: torch.Generator) -> Tensor:
    gain = 2.5 + 4 * torch.rand((), generator=rng)
    return (image - image.mean()) * gain + torch.rand(3, 1, 1, generator=rng)
