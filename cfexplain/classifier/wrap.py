"""Any torch module as a classifier: features are tapped by forward hooks that exist only during the call."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cfexplain.types import Images, Prediction

Outputs = Literal["logits", "log-probabilities", "probabilities", "sigmoid"]
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
    outputs: Outputs = "logits"
    bgr: bool = False

    def __call__(self, images: Images, /) -> Prediction:
        """Predict images in [0, 1]; the hooks are removed before it returns, also after an error."""
        outputs: dict[str, Tensor] = {}
        squashed: list[tuple[Tensor, Tensor]] = []
        normalised = (images - self._channels(self.mean, images)) / self._channels(self.std, images)
        normalised = normalised.flip(1) if self.bgr else normalised
        with ExitStack() as hooks:
            for name in self.tap_names:
                hooks.enter_context(self.module.get_submodule(name).register_forward_hook(_recorder(outputs, name)))
            for part in self.module.modules() if self.outputs in ("probabilities", "sigmoid") else ():
                if isinstance(part, nn.Softmax | nn.Sigmoid):
                    hooks.enter_context(part.register_forward_hook(lambda _, x, y: squashed.append((x[0], y))))
            output = self.module(normalised.contiguous())  # generators output channels last, which `view` refuses
        if unused := [name for name in self.tap_names if name not in outputs]:
            raise ValueError(f"the layers {unused} took no part in the prediction: tap layers that run in forward()")
        return Prediction(self._logits(_tensor(output), squashed), tuple(outputs[name] for name in self.tap_names))

    def _logits(self, output: Tensor, squashed: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """The logits behind the outputs: what the last softmax or sigmoid was given, where it is a layer of its own."""
        if self.outputs in ("probabilities", "sigmoid"):
            given = [before for before, after in squashed if after is output]  # exact where the outputs are saturated
            if given:
                output = given[0]
            else:
                output = output.clamp_min(1e-30).log() if self.outputs == "probabilities" else output.logit(eps=1e-7)
        if len(self.classes) == 2 and output.numel() == len(output):
            return torch.stack([-output.flatten() / 2, output.flatten() / 2], 1)
        return output

    @staticmethod
    def _channels(values: tuple[float, ...], images: Images) -> Tensor:
        # Created on the images' device: a copy from the CPU cannot be recorded in a CUDA graph.
        return torch.stack([images.new_full((1, 1, 1), value) for value in values], 1)


def wrap(
    model: nn.Module,
    *,
    taps: Sequence[str] = (),
    classes: Sequence[object] | Mapping[Any, object],
    image_size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    outputs: Outputs = "logits",
    bgr: bool = False,
) -> WrappedClassifier:
    """Make a classifier of a torch module: it takes images in [0, 1], normalises them, and returns tapped features.

    Args:
        model: in evaluation mode, from normalised images (n, 3, h, w) to logits (n, k).
        taps: names of submodules (as in `model.named_modules()`), shallow to deep; methods with `SameFeatures`
            need at least one.
        classes: names in the order of the logits, or a mapping from index to name, such as Hugging Face's `id2label`.
        image_size: pixels per side that the model was trained at; None asks timm's `pretrained_cfg`, else 224.
        mean: of the normalisation used in training, per channel or one number for all, of intensities in [0, 1]; None
            asks timm's `pretrained_cfg`, else ImageNet's.
        std: likewise its standard deviation.
        outputs: what the model returns: "logits" (or "log-probabilities", which are logits), "probabilities" after a
            softmax, or "sigmoid", the probability of the second of two classes. One logit is that of the second class.
        bgr: the model takes blue first.

    Raises:
        ValueError: the model is in training mode or has no such submodule, two classes share a name, or the
            normalisation is not one of intensities in [0, 1].

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
    named = [classes[key] for key in sorted(classes, key=int)] if isinstance(classes, Mapping) else classes
    labels = tuple(map(str, named))
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"classes must have different names, but {', '.join(repeated)} is there more than once")
    own = getattr(model, "pretrained_cfg", None)
    own = own if isinstance(own, Mapping) else {}
    size = image_size or (own["input_size"][-1] if "input_size" in own else 224)
    mean = _by_channel(own.get("mean", IMAGENET_MEAN) if mean is None else mean)
    std = _by_channel(own.get("std", IMAGENET_STD) if std is None else std)
    if min(std) <= 0 or max(mean) > 1 or max(std) > 1:
        raise ValueError(
            f"mean {mean} and std {std} do not normalise intensities in [0, 1]: divide those of 0..255 by 255; std is "
            "above 0"
        )
    return WrappedClassifier(model, labels, size, tuple(taps), mean, std, outputs, bgr)


def _by_channel(value: float | Sequence[float]) -> tuple[float, ...]:
    return (float(value),) * 3 if isinstance(value, int | float) else tuple(value)


def _recorder(outputs: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Any], None]:
    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        parts = output if isinstance(output, tuple | list) else (output,)
        tensor = next((part for part in parts if isinstance(part, Tensor)), None)
        if tensor is None:
            raise TypeError(f"the layer {name} answers with {type(output).__name__}: tap layers that give a tensor")
        outputs[name] = tensor.clone()  # a later layer may work in place

    return record


def _tensor(output: object) -> Tensor:
    """The tensor in a module's output: a tensor, or an object or dict that holds them (Hugging Face)."""
    if isinstance(output, Tensor):
        return output
    logits = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    raise TypeError(f"the model answers with {type(output).__name__}, not with a tensor of logits")
