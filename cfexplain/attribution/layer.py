"""Attribution by the activations of a deep layer: the methods that need the network's modules."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor

from cfexplain.attribution.question import Question


def gradcam(asked: Question) -> Tensor:
    """ReLU of the layer's channels weighed by their mean gradients, enlarged bilinearly, shape (1, 1, h, w).

    Raises:
        ValueError: the layer has no part in the logit.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2.
    """
    from captum.attr import LayerGradCam

    layer = asked.model.layer(asked.layer, asked.image)
    with _in_the_graph():
        coarse = LayerGradCam(asked.model, layer).attribute(asked.fresh(), target=asked.target, relu_attributions=True)
    return enlarged(coarse.detach(), asked.image)


def guided_gradcam(asked: Question) -> Tensor:
    """Grad-CAM times guided backpropagation, on a copy of the network.

    captum's guided rule knows nn.ReLU only; on the copy every activation counts as one (ours), so that networks
    of ReLU6 or Hardswish are guided too and nothing of the user's is hooked.

    Source: Selvaraju et al. 2017, section 3.2; Springenberg et al. 2015.
    """
    from captum.attr import GuidedGradCam

    twin = asked.model.rectified()
    with warnings.catch_warnings(), _in_the_graph():
        warnings.filterwarnings("ignore", message="(?s).*hooks.*", category=UserWarning)
        method = GuidedGradCam(twin, twin.layer(asked.layer, asked.image))
        found: Tensor = method.attribute(asked.fresh(), target=asked.target, interpolate_mode="bilinear")
    return found.detach()


@contextmanager
def _in_the_graph() -> Iterator[None]:
    """Say in a sentence that a layer's output does not reach the logit."""
    try:
        yield
    except RuntimeError as error:
        if "not have been used" not in str(error):
            raise
        raise ValueError("the layer has no part in the logit: name another with `layer`") from None


def enlarged(coarse: Tensor, image: Tensor) -> Tensor:
    """A layer's map at the image's size."""
    if coarse.shape[-2:] == image.shape[-2:]:
        return coarse
    return F.interpolate(coarse, image.shape[-2:], mode="bilinear", align_corners=False)
