"""Does the flip survive small image corruptions: compression, blur, noise, a shift, resizing?"""

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool
from PIL import Image as PIL
from torch import Tensor

from cfexplain.classifier.checks import check_classifier, predict
from cfexplain.images import precise, to_uint8
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier, Images

JPEG_QUALITY = 75  # Pillow's default, with its chroma at half resolution.
BLUR = 1 / 128  # Standard deviation as a share of the shorter side: 1 pixel at 128, next to nothing below 64.
NOISE = 0.02  # Standard deviation of pixel noise (intensity in [0, 1]).
SCALE = 3 / 4  # To this share of both sides, with antialiasing, and back.


def robustness(edit: Edit, classifier: Classifier) -> dict[str, Bool[Tensor, " n"]]:
    """Whether the counterfactual is still predicted as the target after small image corruptions.

    A flip that is not robust is adversarial noise; read the shares among the flipped images.

    Returns:
        One answer an image to each of

        - jpeg: written as JPEG at `JPEG_QUALITY` and read again;
        - blur: a Gaussian blur of `BLUR` of the side;
        - noise: Gaussian noise of `NOISE`, the same for every image and every call;
        - shift: one pixel up, down, left and right, the border repeated; all four must hold;
        - resize: to `SCALE` of the side and back;
        - together: one pixel to the right, then blur, resize and JPEG, in this order, on one image.

    Source: ours; the corruptions follow Hendrycks and Dietterich, ICLR 2019, milder than their first level.

    Example:
        >>> robustness(result, classifier)["jpeg"].float().mean()  # doctest: +SKIP
        tensor(0.9000)
    """
    check_classifier(classifier)
    found = {}
    for name, corrupted in CORRUPTIONS.items():
        seen = [predict(classifier, images.to(edit.image)).logits for images in corrupted(precise(edit.image))]
        found[name] = torch.stack([logits.argmax(1) == edit.target for logits in seen]).all(0)
    return found


def _jpeg(images: Images) -> Images:
    read = []
    for image in images:
        file = io.BytesIO()
        PIL.fromarray(to_uint8(image)).save(file, format="JPEG", quality=JPEG_QUALITY)
        read.append(torch.from_numpy(np.array(PIL.open(file))).permute(2, 0, 1))
    return torch.stack(read).to(images) / 255


def _blur(images: Images) -> Images:
    from torchvision.transforms.functional import gaussian_blur

    sigma = BLUR * min(images.shape[-2:])
    reach = max(1, round(3 * sigma))
    return gaussian_blur(images, [2 * reach + 1] * 2, [sigma] * 2)  # type: ignore[no-any-return]


def _noise(images: Images) -> Images:
    # One field for all images, so that an image's answer does not depend on its place in the batch.
    field = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(0))
    return (images + NOISE * field.to(images)).clamp(0, 1)


def _shift(images: Images, down: int, right: int) -> Images:
    height, width = images.shape[-2:]
    grown = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return grown[..., 1 - down : 1 - down + height, 1 - right : 1 - right + width]


def _resize(images: Images) -> Images:
    size = [images.shape[-2], images.shape[-1]]
    small = F.interpolate(images, [round(SCALE * side) for side in size], mode="bilinear", antialias=True)
    return F.interpolate(small, size, mode="bilinear", antialias=True).clamp(0, 1)


# By name, the corrupted versions of a batch in all of which the target must be predicted.
CORRUPTIONS: Mapping[str, Callable[[Images], Sequence[Images]]] = {
    "jpeg": lambda images: [_jpeg(images)],
    "blur": lambda images: [_blur(images)],
    "noise": lambda images: [_noise(images)],
    "shift": lambda images: [_shift(images, *by) for by in ((-1, 0), (1, 0), (0, -1), (0, 1))],
    "resize": lambda images: [_resize(images)],
    "together": lambda images: [_jpeg(_resize(_blur(_shift(images, 0, 1))))],
}
