"""Quality of a restored image, as the restoration literature measures it."""

from jaxtyping import Float
from torch import Tensor

from cfexplain.images import round8
from cfexplain.method.stop import decibels
from cfexplain.restore.restoration import AnyImages


def psnr(image: AnyImages, truth: AnyImages, mask: Float[Tensor, "n 1 h w"] | None = None) -> float:
    """Peak signal-to-noise ratio in decibels of images in eight bits, over the pixels of a mask.

    10 log10(1 / mean squared difference); infinite for equal images, NaN for an empty mask. None counts all pixels.

    Example:
        >>> import torch
        >>> round(psnr(torch.full((1, 3, 2, 2), 0.6), torch.full((1, 3, 2, 2), 0.4)), 2)
        13.98
    """
    squared = (round8(image) - round8(truth)).double().square()
    counted = squared if mask is None else squared[(mask > 0.5).expand_as(squared)]
    return decibels(float(counted.mean()))
