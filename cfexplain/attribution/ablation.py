"""Attribution by taking parts of the image away: squares, or regions of one colour."""

from __future__ import annotations

from torch import Tensor

from cfexplain.attribution.question import Question, blurred, superpixels

WINDOW = 8
"""The side of the image is so many windows of occlusion; a stride is half a window."""


def occlusion(asked: Question) -> Tensor:
    """How the logit falls when a square is replaced by its blur, mean over the squares that hold the pixel.

    Source: Zeiler and Fergus, ECCV 2014, section 4.2. They use grey squares; on skin a grey or black square is a
    lesion of its own, the blur is not (ours).
    """
    from captum.attr import Occlusion

    side = max(2, min(asked.image.shape[-2:]) // WINDOW)
    found: Tensor = Occlusion(asked.model).attribute(
        asked.image,
        sliding_window_shapes=(3, side, side),
        strides=(3, side // 2, side // 2),
        baselines=blurred(asked.image),
        target=asked.target,
        perturbations_per_eval=asked.batch,
    )
    return found.mean(1, keepdim=True)  # captum repeats the fall in each colour


def superpixel_ablation(asked: Question) -> Tensor:
    """How the logit falls when a superpixel is replaced by its blur.

    Source: captum's FeatureAblation over the regions of SLIC; regions as in LIME (Ribeiro et al. 2016).
    """
    from captum.attr import FeatureAblation

    found: Tensor = FeatureAblation(asked.model).attribute(
        asked.image,
        baselines=blurred(asked.image),
        feature_mask=superpixels(asked.image[0])[None, None],
        target=asked.target,
        perturbations_per_eval=asked.batch,
    )
    return found.mean(1, keepdim=True)  # captum repeats the fall in each colour
