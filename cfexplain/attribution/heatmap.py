"""Heat maps of images by name: captum's methods on any classifier, one bounded batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.attribution import ablation, gradient
from cfexplain.attribution.given import given
from cfexplain.attribution.layer import enlarged, gradcam, guided_gradcam
from cfexplain.attribution.logits import Logits
from cfexplain.attribution.question import Question
from cfexplain.classifier.checks import check_classifier, class_index, predict
from cfexplain.images import check_images
from cfexplain.types import Classifier, Images

Heatmap = Callable[[Question], Tensor]
Using = str | Any
"""A name of `HEATMAPS`, a captum attribution object, or a function of (images, target=index).

What a captum object must be told besides is told with `functools.partial(Occlusion(model).attribute, strides=2, ...)`.
"""

HEATMAPS: Mapping[str, Heatmap] = MappingProxyType(
    {
        "saliency": gradient.saliency,
        "input-x-gradient": gradient.input_x_gradient,
        "integrated-gradients": gradient.integrated_gradients,
        "integrated-gradients-blurred": gradient.integrated_gradients_blurred,
        "integrated-gradients-counterfactual": gradient.integrated_gradients_counterfactual,
        "smoothgrad": gradient.smoothgrad,
        "gradcam": gradcam,
        "guided-gradcam": guided_gradcam,
        "gradient-shap": gradient.gradient_shap,
        "deep-lift": gradient.deep_lift,
        "occlusion": ablation.occlusion,
        "superpixels": ablation.superpixel_ablation,
    }
)
"""The methods by name."""

EIGHT = (
    "saliency",
    "integrated-gradients",
    "smoothgrad",
    "gradcam",
    "guided-gradcam",
    "gradient-shap",
    "occlusion",
    "superpixels",
)
"""Those that a comparison takes unless others are named: each works on any convolutional network."""


def attribute(
    classifier: Classifier,
    images: Images,
    target: int | str | Sequence[int | str] | Tensor = "predicted",
    using: Using = "integrated-gradients",
    *,
    counterfactual: Images | None = None,
    layer: str | None = None,
    seed: int = 0,
    internal_batch_size: int = 16,
    show_progress: bool = False,
) -> Float[Tensor, "n h w"]:
    """Say of each pixel how much it adds to a class's logit, by one of captum's methods.

    Each image is asked alone, so that the result does not depend on its neighbours in the batch; captum's signed
    values are summed over channels. No gradients, hooks or random states are left behind.

    Args:
        classifier: in evaluation mode; it is left exactly as it was.
        images: RGB in [0, 1], shape (n, 3, h, w).
        target: the class whose logit is attributed, by name or index, one for all or one an image; "predicted" is
            the class that the classifier says.
        using: a name of `HEATMAPS`; a captum object, whose `attribute(images, target=...)` is called; or a function
            of the same kind, such as a `functools.partial` of it. Maps of layers are enlarged bilinearly.
        counterfactual: images of the same shape that `integrated-gradients-counterfactual` starts from.
        layer: which layer Grad-CAM reads, as in `named_modules()`; None is the deepest with a map of
            `PLACES` a side, among the taps where they have names.
        seed: of smoothgrad, gradient-shap and whatever a given object draws from torch's or numpy's global
            generators; an image's map depends on it and on the image alone.
        internal_batch_size: images in one pass of the classifier at most. A given object is told as
            `internal_batch_size`, `perturbations_per_eval` or `nt_samples_batch_size` where it takes one of these
            and no `partial` has set it; others, such as captum's GradientShap, are as large as their samples.
        show_progress: a bar on standard error, one step an image.

    Returns:
        Signed maps in units of the logit (of the logit per intensity for saliency and smoothgrad).

    Raises:
        ValueError: there is no such method, class or layer, or the method cannot read this network.

    Example:
        >>> import cfexplain_classifiers
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> attribute(classifier, torch.rand(2, 3, 64, 64), "malignant", using="gradcam").shape
        torch.Size([2, 64, 64])

    Source: captum (Kokhlikyan et al. 2020); each method names its paper.
    """
    check_images(images)
    check_classifier(classifier)
    if internal_batch_size < 1:
        raise ValueError(f"internal_batch_size must be at least 1, got {internal_batch_size}")
    if counterfactual is not None and counterfactual.shape != images.shape:
        raise ValueError(f"counterfactual must have the images' shape {tuple(images.shape)}")
    method, model = _method(using), Logits(classifier)
    maps = []
    for i, index in enumerate(_progress(_targets(classifier, images, target), show_progress)):
        baseline = None if counterfactual is None else counterfactual[i : i + 1]
        asked = Question(model, images[i : i + 1], index, baseline, layer, internal_batch_size, seed)
        with torch.enable_grad():
            maps.append(_flat(method(asked), asked.image))
    return torch.cat(maps)


def _method(using: Using) -> Heatmap:
    if isinstance(using, str):
        if using not in HEATMAPS:
            raise ValueError(f"there is no attribution method {using}: use {', '.join(HEATMAPS)}")
        return HEATMAPS[using]
    return given(using)


def _flat(found: Any, image: Images) -> Float[Tensor, "1 h w"]:
    """A method's answer as one number a pixel; of several answers the first."""
    values = found[0] if isinstance(found, tuple) else found
    if not isinstance(values, Tensor) or values.ndim != 4 or len(values) != len(image):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"an attribution method must answer with maps of shape (n, c, h, w), got {shape}")
    if not bool(values.isfinite().all()):
        raise ValueError("the attribution method answers with infinite or undefined values")
    return enlarged(values.detach(), image).sum(1)


def _targets(classifier: Classifier, images: Images, target: Any) -> list[int]:
    """One class index an image."""
    if isinstance(target, str) and target == "predicted":
        return [int(predict(classifier, image).logits.argmax(1)) for image in images.split(1)]
    named = target.tolist() if isinstance(target, Tensor) else target
    listed = [named] * len(images) if isinstance(named, int | str) else list(named)
    if len(listed) != len(images):
        raise ValueError(f"give one target for all images or one for each: got {len(listed)} for {len(images)} images")
    return [class_index(classifier, one) for one in listed]


def _progress(items: Sequence[int], shown: bool) -> Any:
    if not shown:
        return items
    from tqdm.auto import tqdm

    return tqdm(items, desc="attribution")
