"""What is asked of an attribution method: one image, one class, and the bounds of its memory and randomness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from cfexplain.attribution.logits import Logits
from cfexplain.generators.noise import generator_for, seeded
from cfexplain.types import Image, Images


@dataclass(frozen=True, eq=False)
class Question:
    """One image and the logit to attribute to its pixels.

    Attributes:
        model: maps images to logits.
        image: shape (1, 3, h, w).
        target: index of the logit.
        counterfactual: a baseline of the image's shape, for the methods that take one; None where there is none.
        layer: name of the layer that layer methods read; None is the deepest that is fine enough.
        batch: images in one pass at most.
        seed: of methods that draw noise.
    """

    model: Logits
    image: Images
    target: int
    counterfactual: Images | None = None
    layer: str | None = None
    batch: int = 16
    seed: int = 0

    def fresh(self) -> Images:
        """The image as a leaf that gradients can be taken of; the user's tensor stays as it is."""
        return self.image.detach().clone().requires_grad_()

    @contextmanager
    def randomness(self) -> Iterator[None]:
        """Let captum draw from torch's and numpy's global generators by the seed and the image; both are put back."""
        rng, before = generator_for(self.image, self.seed, "attribution"), np.random.get_state()
        np.random.seed(int(torch.randint(2**31, (), generator=rng)))
        devices = [self.image.device] if self.image.is_cuda else []
        try:
            with seeded(rng), torch.random.fork_rng(devices=devices):
                torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))
                yield
        finally:
            np.random.set_state(before)


def black(image: Images) -> Images:
    """The usual baseline: no light at all."""
    return torch.zeros_like(image)


def blurred(image: Images, share: float = 1 / 16) -> Images:
    """The image without its structures: a Gaussian blur of this share of the shorter side (a standard deviation)."""
    from torchvision.transforms.functional import gaussian_blur

    sigma = share * min(image.shape[-2:])
    reach = min(2 * round(2.5 * sigma) + 1, 2 * (min(image.shape[-2:]) // 2) - 1)
    answer: Images = gaussian_blur(image, [reach, reach], [sigma, sigma])
    return answer


def superpixels(image: Image, count: int = 64) -> torch.Tensor:
    """Regions of about one colour by SLIC, numbered from 0, shape (h, w).

    Source: Achanta et al., "SLIC superpixels", PAMI 2012, as implemented by scikit-image.
    """
    from skimage.segmentation import slic

    pixels = image.detach().cpu().double().permute(1, 2, 0).numpy()
    labels = slic(pixels, n_segments=count, compactness=10.0, start_label=0, channel_axis=-1)
    _, dense = np.unique(labels, return_inverse=True)
    return torch.from_numpy(dense.reshape(labels.shape)).long().to(image.device)
