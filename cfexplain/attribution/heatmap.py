"""Attribution maps of images, one at a time and with bounded memory."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from cfexplain.attribution.logits import Logits
from cfexplain.attribution.methods import HEATMAPS, Item
from cfexplain.classifier.checks import check_classifier, class_index, predict
from cfexplain.images import check_images
from cfexplain.types import Classifier, Images


def attribute(
    classifier: Classifier,
    images: Images,
    target: int | str | Sequence[int | str] | Tensor = "predicted",
    using: Any = "integrated-gradients",
    *,
    counterfactual: Images | None = None,
    layer: str | None = None,
    seed: int = 0,
    internal_batch_size: int = 16,
) -> Float[Tensor, "n h w"]:
    """Attribute a class's logit to the pixels by one of captum's methods; signed values are summed over channels.

    Images are processed one by one. No gradients, hooks or random states are left behind.

    Args:
        classifier: in evaluation mode; it is not changed.
        images: RGB in [0, 1].
        target: the class, by name or index, one for all images or one per image; "predicted" is the predicted one.
        using: a name in `HEATMAPS`; a captum object, whose `attribute(images, target=...)` is called; or a function
            with these arguments, such as `functools.partial(Occlusion(model).attribute, strides=2, ...)`. Maps of
            layers are enlarged bilinearly.
        counterfactual: images of the same shape, the baselines of `integrated-gradients-counterfactual`.
        layer: the layer for Grad-CAM, as in `named_modules()`; None selects one, see `Logits.layer`.
        seed: of the methods that draw noise, those given included. A map depends only on the seed and the image.
        internal_batch_size: largest number of images in one forward pass, passed to `using` under captum's name for it
            unless a `partial` has set it; some, such as captum's GradientShap, accept none.

    Returns:
        Maps in units of the logit (logit per intensity for saliency and smoothgrad).

    Raises:
        ValueError: there is no such method, class or layer, or the method cannot read this network.

    Example:
        >>> import cfexplain_classifiers
        >>> classifier = cfexplain_classifiers.load("synthetic")
        >>> attribute(classifier, torch.rand(2, 3, 64, 64), "malignant", using="gradcam").shape
        torch.Size([2, 64, 64])

    Source: captum (Kokhlikyan et al. 2020); the source of each method is in `methods`.
    """
    check_images(images)
    check_classifier(classifier)
    if internal_batch_size < 1:
        raise ValueError(f"internal_batch_size must be at least 1, got {internal_batch_size}")
    if counterfactual is not None and counterfactual.shape != images.shape:
        raise ValueError(f"counterfactual must have the images' shape {tuple(images.shape)}")
    function = HEATMAPS.get(using) if isinstance(using, str) else getattr(using, "attribute", using)
    if function is None:
        raise ValueError(f"there is no attribution method {using}: use {', '.join(HEATMAPS)}")
    if not callable(function):
        raise TypeError(f"using must be a name, a captum object or a function, got {type(using).__name__}")
    model, maps = Logits(classifier), []
    for i, index in enumerate(class_indices(classifier, images, target)):
        baseline = None if counterfactual is None else counterfactual[i : i + 1]
        item = Item(model, images[i : i + 1], index, baseline, layer, internal_batch_size, seed)
        with torch.enable_grad():
            found = function(item) if isinstance(using, str) else item.run(function)
        maps.append(_flat(found, images.shape[-2:]))
    return torch.cat(maps)


def _flat(values: Tensor, size: torch.Size) -> Float[Tensor, "1 h w"]:
    """Check a method's map, resize it to the image and sum its channels."""
    if not isinstance(values, Tensor) or values.ndim != 4 or len(values) != 1:
        shape = tuple(getattr(values, "shape", ())) or type(values).__name__
        raise ValueError(f"an attribution method must answer with maps of shape (n, c, h, w), got {shape}")
    if not bool(values.isfinite().all()):
        raise ValueError("the attribution method answers with infinite or undefined values")
    return F.interpolate(values.detach(), size, mode="bilinear", align_corners=False).sum(1)


def class_indices(classifier: Classifier, images: Images, target: Any) -> list[int]:
    """One class index per image, from names or indices, one for all or one per image, or "predicted"."""
    if isinstance(target, str) and target == "predicted":
        return [int(predict(classifier, image).logits.argmax(1)) for image in images.split(1)]
    target = target.tolist() if isinstance(target, Tensor) else target
    listed = [target] * len(images) if isinstance(target, int | str) else list(target)
    if len(listed) != len(images):
        raise ValueError(f"give one target for all images or one for each: got {len(listed)} for {len(images)} images")
    return [class_index(classifier, one) for one in listed]
