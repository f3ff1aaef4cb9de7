"""A classifier as captum needs it: a module that returns a tensor and whose layers are found by name."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from cfexplain.classifier.checks import dtype_of_weights, module_of
from cfexplain.types import Classifier, Images

# Lower-case class names of the activations that guided backpropagation acts on; gates such as sigmoids are not.
ACTIVATIONS = frozenset(("relu", "relu6", "hardswish", "silu", "swish", "gelu", "leakyrelu", "elu", "mish"))
# Shortest side of a default layer's feature map. Grad-CAM was published with maps of 14 (VGG) and 7 (ResNet).
SMALLEST_MAP = 7


class Logits(nn.Module):
    """Maps images in [0, 1] to logits, for captum and other tools that hook modules; the classifier is not changed.

    Example:
        >>> from cfexplain_classifiers import load
        >>> Logits(load("synthetic"))(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 2])
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.inner = None if isinstance(classifier, nn.Module) else getattr(classifier, "module", None)
        self.training = False

    def forward(self, images: Images) -> Float[Tensor, "n k"]:
        """The classifier's logits. Images are cast to its precision, because captum's noise is float32."""
        return self.classifier(images.to(dtype_of_weights(self.classifier))).logits

    @property
    def network(self) -> nn.Module:
        """The torch module of the classifier; a ValueError if it has none."""
        if (network := module_of(self.classifier)) is None:
            raise ValueError("methods that read layers need a classifier with a torch module: give it as `.module`")
        return network

    def layer(self, name: str | None, image: Images) -> nn.Module:
        """A layer by name, or the deepest whose feature map has at least `SMALLEST_MAP` pixels a side.

        Names are those of `network.named_modules()`; None searches the classifier's taps, then all modules.

        Raises:
            ValueError: there is no such layer, or it does not answer this image with a feature map.
        """
        modules: dict[str, nn.Module] = dict(self.network.named_modules())
        if name is not None and name not in modules:
            known = [k for k in modules if k and k.count(".") < 2][-8:]
            raise ValueError(f"the classifier has no layer {name!r}; its last ones are {', '.join(known)}")
        names = {module: name for name, module in modules.items()}
        maps: list[tuple[str, int]] = []  # name and shorter side, in the order of execution

        def record(module: nn.Module, inputs: Any, output: Any) -> None:
            if module in names and _is_feature_map(output, image):
                maps.append((names[module], min(output.shape[-2:])))

        with register_module_forward_hook(record), torch.no_grad():
            self(image)
        if name is None:
            taps = getattr(self.classifier, "tap_names", ())
            maps = [found for found in maps if found[0] in taps] or maps
            if not maps:
                raise ValueError("no layer of the classifier answers with a map: name one with `layer`")
            name = ([found for found in maps if found[1] >= SMALLEST_MAP] or maps)[-1][0]
        elif name not in dict(maps):
            raise ValueError(f"the layer {name} does not answer with a map of the picture, shape (n, channels, h, w)")
        return modules[name]

    def rectified(self) -> "Logits":
        """A copy whose activations count as ReLUs for captum and do not work in place; a ValueError if it has none."""
        twin = Logits(copy.deepcopy(self.classifier))
        children = [(parent, *child) for parent in twin.network.modules() for child in parent.named_children()]
        activations = [found for found in children if type(found[2]).__name__.lower() in ACTIVATIONS]
        if not activations:
            raise ValueError("guided backpropagation and DeepLift need activations that are modules, such as nn.ReLU")
        for parent, name, child in activations:
            setattr(child, "inplace", False)  # noqa: B010 - to mypy the attributes of a module are tensors or modules
            setattr(parent, name, child if type(child) is nn.ReLU else _Rectifier(child))
        return twin


def _is_feature_map(output: Any, image: Images) -> bool:
    """Whether the last two sides are those of a smaller image, not the tokens or channels of a transformer."""
    if not isinstance(output, Tensor) or output.ndim != 4:
        return False
    (h, w), (height, width) = output.shape[-2:], image.shape[-2:]
    return min(h, w) > 1 and h <= height and w <= width and abs(h * width - w * height) <= max(height, width)


class _Rectifier(nn.ReLU):
    """Any activation as a subclass of ReLU, so that captum's guided backpropagation clips its gradient at 0."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, values: Tensor) -> Tensor:
        return self.activation(values)  # type: ignore[no-any-return]
