"""Any torch module as a classifier: features are tapped by forward hooks that exist only during the call."""

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
    """A `Classifier` around a torch module, which is left unchanged; see `wrap`."""

    module: nn.Module
    classes: Sequence[str]
    image_size: int
    tap_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Images, /) -> Prediction:
        """Predict images in [0, 1]; the hooks are removed before it returns, also after an error."""
        outputs: dict[str, Tensor] = {}
        normalised = (images - self._channels(self.mean, images)) / self._channels(self.std, images)
        with ExitStack() as hooks:
            for name in self.tap_names:
                hooks.enter_context(self.module.get_submodule(name).register_forward_hook(_recorder(outputs, name)))
            logits = self.module(normalised.contiguous())  # generators output channels last, which `view` refuses
        if unused := [name for name in self.tap_names if name not in outputs]:
            raise ValueError(f"the layers {unused} took no part in the prediction: tap layers that run in forward()")
        return Prediction(_logits(logits), tuple(outputs[name] for name in self.tap_names))

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
    """Make a classifier of a torch module: it takes images in [0, 1], normalises them, and returns tapped features.

    Args:
        model: in evaluation mode, from normalised images (n, 3, h, w) to logits (n, k).
        taps: names of submodules (as in `model.named_modules()`), shallow to deep; methods with `SameFeatures`
            need at least one.
        classes: names in the order of the logits.
        image_size: pixels per side that the model was trained at.
        mean: of the normalisation used in training, per channel or one number for all; ImageNet's by default.
        std: likewise its standard deviation.

    Raises:
        ValueError: the model is in training mode or has no such submodule, or two classes share a name.

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
    names = dict(model.named_modules())
    if unknown := [tap for tap in taps if tap not in names]:
        raise ValueError(f"the model has no layers {unknown}; it has, for example, {sorted(filter(None, names))[:8]}")
    labels = tuple(map(str, classes))
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"classes must have different names, but {', '.join(repeated)} is there more than once")
    return WrappedClassifier(model, labels, image_size, tuple(taps), _by_channel(mean), _by_channel(std))


def _by_channel(value: float | Sequence[float]) -> tuple[float, ...]:
    return (float(value),) * 3 if isinstance(value, int | float) else tuple(value)


def _recorder(outputs: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Any], None]:
    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise TypeError(f"the layer {name} answers with {type(output).__name__}: tap layers that give one tensor")
        outputs[name] = output.clone()  # a later layer may work in place

    return record


def _logits(output: object) -> Tensor:
    """The logits in a module's output: a tensor, or an object or dict that holds them (Hugging Face)."""
    if isinstance(output, Tensor):
        return output
    logits = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    raise TypeError(f"the model answers with {type(output).__name__}, not with a tensor of logits")
