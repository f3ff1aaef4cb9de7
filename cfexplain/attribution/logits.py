"""A classifier as captum wants it: a module whose answer is a tensor, its layers found by name."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cfexplain.classifier.checks import dtype_of_weights
from cfexplain.types import Classifier, Images

ACTIVATIONS = frozenset(("relu", "relu6", "hardswish", "silu", "swish", "gelu", "leakyrelu", "elu", "mish"))
"""Lower-case class names of activations that guided backpropagation acts on; gates such as sigmoids are none."""
PLACES = 7
"""A side of the maps that Grad-CAM was published with (VGG 14, ResNet 7); of small images the last maps are coarser."""


class Logits(nn.Module):
    """Maps images in [0, 1] to logits, for captum and whatever else hooks modules; the classifier stays untouched.

    Args:
        classifier: any; where it or its attribute `module` is a torch module, its layers can be found.

    Example:
        >>> from cfexplain_classifiers import load
        >>> Logits(load("synthetic"))(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 2])
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.training = False
        self.classifier = classifier
        inner = getattr(classifier, "module", None)
        if not isinstance(classifier, nn.Module) and isinstance(inner, nn.Module):
            self.inner = inner

    def forward(self, images: Images) -> Float[Tensor, "n k"]:
        """The classifier's logits; captum's noise makes float32 of what was coarser."""
        return self.classifier(images.to(dtype_of_weights(self.classifier))).logits

    @property
    def network(self) -> nn.Module:
        """The torch module inside.

        Raises:
            ValueError: there is none to be seen.
        """
        inside = self.classifier if isinstance(self.classifier, nn.Module) else getattr(self, "inner", None)
        if not isinstance(inside, nn.Module):
            raise ValueError("methods that read layers need a classifier with a torch module: give it as `.module`")
        return inside

    def layer(self, name: str | None, image: Images) -> nn.Module:
        """The layer of a name; by default the deepest whose map has `PLACES` a side, among named taps where there are.

        Args:
            name: as in `network.named_modules()`.
            image: of which the classifier is asked where the layer must be searched for, shape (1, 3, h, w).

        Raises:
            ValueError: there is no such layer, or no layer answers with a map.
        """
        modules = dict(self.network.named_modules())
        if name is None:
            taps = getattr(self.classifier, "tap_names", ())
            seen = self._maps([modules[tap] for tap in taps], image) or self._maps(list(modules.values()), image)
            if not seen:
                raise ValueError("no layer of the classifier answers with a map: name one with `layer`")
            fine = [module for places, module in seen if places >= PLACES]
            return fine[-1] if fine else seen[-1][1]
        if name not in modules:
            known = [k for k in modules if k and k.count(".") < 2][-8:]
            raise ValueError(f"the classifier has no layer {name!r}; its last ones are {', '.join(known)}")
        found: nn.Module = modules[name]
        if not self._maps([found], image):
            raise ValueError(f"the layer {name} does not answer with a map of the picture, shape (n, channels, h, w)")
        return found

    def _maps(self, among: Sequence[nn.Module], image: Images) -> list[tuple[int, nn.Module]]:
        """The modules that answer with a map of more than one place, in order, each with its shorter side."""
        seen: list[tuple[int, nn.Module]] = []

        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and _maps_the_picture(output, image):
                seen.append((min(output.shape[-2:]), module))

        with ExitStack() as hooks, torch.no_grad():
            for module in among:
                hooks.callback(module.register_forward_hook(note).remove)
            self(image)
        return seen

    def rectified(self) -> Logits:
        """A copy whose activations count as ReLUs for captum, none of them in place; the outputs are the same.

        Raises:
            ValueError: the network has no activation modules to act on.
        """
        twin = Logits(copy.deepcopy(self.classifier))
        if sum(_rectify(parent) for parent in list(twin.network.modules())) == 0:
            raise ValueError("guided backpropagation and DeepLift need activations that are modules, such as nn.ReLU")
        return twin


def _maps_the_picture(output: Tensor, image: Images) -> bool:
    """Whether the last two sides are those of a smaller picture: not channels or tokens, as transformers have there."""
    (h, w), (height, width) = output.shape[-2:], image.shape[-2:]
    return min(h, w) > 1 and h <= height and w <= width and abs(h * width - w * height) <= max(height, width)


class Rectifier(nn.ReLU):
    """Any activation under the name of ReLU: captum's guided rule then drops what is negative in its gradient."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.training = False
        self.activation = activation

    def forward(self, values: Tensor) -> Tensor:
        """What the activation says."""
        answer: Tensor = self.activation(values)
        return answer


def _rectify(parent: nn.Module) -> int:
    """Replace the activations among the children; how many there were."""
    count = 0
    for name, child in list(parent.named_children()):
        if type(child).__name__.lower() in ACTIVATIONS and not isinstance(parent, Rectifier):
            if hasattr(child, "inplace"):
                setattr(child, "inplace", False)  # noqa: B010 - a module's attributes are tensors or modules to mypy
            setattr(parent, name, child if type(child) is nn.ReLU else Rectifier(child))
            count += 1
    return count
