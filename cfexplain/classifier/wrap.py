"""Any torchvision, timm or own module as a classifier: taps by forward hooks that live only during the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cfexplain.types import Images, Prediction

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class WrappedClassifier:
    """A `Classifier` around somebody else's module, which stays untouched.

    Attributes:
        module: maps normalised images to logits.
        classes: names in the order of the logits.
        image_size: pixels a side.
        tap_names: names of the submodules whose outputs are the features, shallow to deep.
        mean: subtracted from images in [0, 1], by channel.
        std: divided by, by channel.
    """

    module: nn.Module
    classes: Sequence[str]
    image_size: int
    tap_names: tuple[str, ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __call__(self, images: Images, /) -> Prediction:
        """Predict images in [0, 1]; hooks are gone when it returns, also after an error."""
        caught: dict[str, Tensor] = {}
        normal = (images - self._channels(self.mean, images)) / self._channels(self.std, images)
        with ExitStack() as hooks:
            for name in self.tap_names:
                handle = self.module.get_submodule(name).register_forward_hook(_catcher(caught, name))
                hooks.callback(handle.remove)
            logits = self.module(normal.contiguous())  # painted pictures have channels last, which `view` refuses
        missed = [name for name in self.tap_names if name not in caught]
        if missed:
            raise ValueError(f"the layers {missed} took no part in the prediction: tap layers that run in forward()")
        return Prediction(_logits(logits), tuple(caught[name] for name in self.tap_names))

    @staticmethod
    def _channels(values: tuple[float, ...], images: Images) -> Tensor:
        # Created on the images' device: a copy from the CPU cannot be recorded in a CUDA graph.
        return torch.stack([images.new_full((1, 1, 1), value) for value in values], 1)


def wrap(
    model: nn.Module,
    *,
    taps: Sequence[str] = (),
    classes: Sequence[str],
    image_size: int = 224,
    mean: float | Sequence[float] = IMAGENET_MEAN,
    std: float | Sequence[float] = IMAGENET_STD,
) -> WrappedClassifier:
    """Make a classifier of a module you have: it takes images in [0, 1], normalises them, and shows its taps.

    Args:
        model: in evaluation mode, from normalised images (n, 3, h, w) to logits (n, k).
        taps: names of submodules (as in `model.named_modules()`), shallow to deep; methods with `SameFeatures`
            need at least one.
        classes: names in the order of the logits.
        image_size: pixels a side that the model was trained at.
        mean: its training normalisation, by channel or one number for all; ImageNet's by default.
        std: likewise.

    Raises:
        ValueError: the model is in training mode, or has no submodule of a tap's name; two classes have one name.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
        >>> classifier = wrap(model, taps=["0"], classes=["a", "b"], image_size=32)
        >>> classifier(torch.rand(1, 3, 32, 32)).features[0].shape
        torch.Size([1, 4, 30, 30])
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if any(m.training for m in model.modules()):
        raise ValueError("the model is in training mode: call .eval() on it before wrapping it")
    names = {name for name, _ in model.named_modules()}
    unknown = [tap for tap in taps if tap not in names]
    if unknown:
        raise ValueError(f"the model has no layers {unknown}; it has, for example, {sorted(names - {''})[:8]}")
    known = tuple(map(str, classes))
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise ValueError(f"classes must have different names, but {', '.join(twice)} is there more than once")
    return WrappedClassifier(model, known, image_size, tuple(taps), _by_channel(mean), _by_channel(std))


def _by_channel(value: float | Sequence[float]) -> tuple[float, ...]:
    """One number for all channels, or one for each."""
    return (float(value),) * 3 if isinstance(value, int | float) else tuple(value)


def _catcher(caught: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Any], None]:
    def catch(module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise TypeError(f"the layer {name} answers with {type(output).__name__}: tap layers that give one tensor")
        caught[name] = output.clone()  # a layer behind it may work in place

    return catch


def _logits(output: object) -> Tensor:
    """The logits of a module's answer: a tensor, or an object or dict that carries them (Hugging Face)."""
    if isinstance(output, Tensor):
        return output
    found = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    if isinstance(found, Tensor):
        return found
    raise TypeError(f"the model answers with {type(output).__name__}, not with a tensor of logits")
