"""The classifier: a timm backbone with its head, input normalisation, and the loss estimator on its stages."""

import copy
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cfexplain.types import Images, Prediction
from cfexplain_classifiers.estimator import LossEstimator, Scale


@dataclass(frozen=True)
class Architecture:
    """Everything needed to build the network again.

    Attributes:
        backbone: name of a model that timm itself holds; addresses of a hub or a folder are refused.
        classes: names in the order of the logits.
        image_size: pixels per side of the training images.
        dropout: rate before the last layer.
    """

    backbone: str
    classes: tuple[str, ...]
    image_size: int = 128
    dropout: float = 0.2


class LesionClassifier(nn.Module):
    """A classifier with its loss estimator; `classifier(images)` is a `Prediction`.

    The taps are the outputs of the backbone's stages and its final feature map, shallow to deep. Once the network is
    calibrated, logits are divided by the temperature and estimated losses are standardised by `scale`. `pretrained`
    downloads timm's weights of the backbone.

    Raises:
        ValueError: timm has no such model, or the model does not take images of this size.

    Example:
        >>> LesionClassifier(Architecture("lcnet_035", ("a", "b"), 32))(torch.rand(2, 3, 32, 32)).logits.shape
        torch.Size([2, 2])
    """

    def __init__(self, architecture: Architecture, *, pretrained: bool = False) -> None:
        import timm

        super().__init__()
        name = architecture.backbone
        if not timm.is_model(name) or any(mark in name for mark in ":/\\"):
            similar = get_close_matches(name, timm.list_models(), 3)
            advice = f"is it {' or '.join(similar)}?" if similar else "timm.list_models() names them"
            raise ValueError(f"timm {timm.__version__} has no model {name}: {advice}")
        self.architecture = architecture
        self.classes, self.image_size = architecture.classes, architecture.image_size
        self.scale = Scale()
        self.backbone = timm.create_model(
            name, pretrained=pretrained, num_classes=len(self.classes), drop_rate=architecture.dropout
        )
        last = self.backbone.get_classifier()
        if isinstance(last, nn.Linear):  # some start with logits in the tens, which destroys pretrained features
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.mean, self.std = nn.Buffer(torch.full((1, 3, 1, 1), 0.5)), nn.Buffer(torch.full((1, 3, 1, 1), 0.5))
        self.temperature = nn.Buffer(torch.ones(()))
        self.estimator = LossEstimator(self._tap_channels())

    @property
    def module(self) -> nn.Module:
        """The network itself, for tools that hook modules, such as captum."""
        return self

    def usual_loss(self, index: int, share: float = 0.5) -> float:
        """A quantile of the estimated loss over correctly classified images of a class, see `Scale.quantile`."""
        return self.scale.quantile(self.classes[index], share)

    def taps(self, images: Images) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Uncalibrated logits, shape (n, k), and tapped features."""
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        final, stages = self.backbone.forward_intermediates(normalised)
        return self.backbone.forward_head(final), (*stages, final)

    def forward(self, images: Images) -> Prediction:
        """Calibrated prediction of images in [0, 1]."""
        logits, features = self.taps(images)
        return Prediction(logits / self.temperature, features, self.scale.standardise(self.estimator(features)))

    @torch.no_grad()
    def _tap_channels(self) -> list[int]:
        size = max(self.image_size, 32)
        self.backbone.eval()
        try:
            final, stages = self.backbone.forward_intermediates(torch.zeros(1, 3, size, size))
        except (AssertionError, RuntimeError) as error:
            name = self.architecture.backbone
            raise ValueError(f"{name} does not take images of {size} pixels: {error}") from None
        self.backbone.train()
        return [int(f.shape[1 if f.ndim == 4 else -1]) for f in (*stages, final)]


def folded(network: LesionClassifier) -> LesionClassifier:
    """A copy for inference in which every batch-norm layer is merged into the convolution before it.

    It is in evaluation mode and the same up to rounding (about 1e-5 in the logits), but faster on a CPU, where batch
    norm is bound by memory. Layers are paired by their order in the module, which is the order of execution in timm's
    backbones; if outputs for random images differ by more than 1e-3, the original is returned.

    Example:
        >>> from cfexplain_classifiers import load
        >>> any(isinstance(m, nn.BatchNorm2d) for m in folded(load("synthetic")).modules())
        False
    """
    fast = copy.deepcopy(network)
    for module in list(fast.backbone.modules()):
        _fold_children(module)
    size = max(32, network.image_size)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)).to(network.mean.device)
    with torch.no_grad():
        outputs = [torch.cat([p.logits, p.loss[:, None]], dim=1) for p in (fast(images), network(images))]
    if not torch.allclose(outputs[0], outputs[1], atol=1e-3, rtol=1e-3):
        return network
    # Small and depthwise convolutions are faster with channels last on a CPU.
    return fast.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _fold_children(module: nn.Module) -> None:
    """Fold each batch norm that follows a convolution among the children; timm's fused activation is kept."""
    for first, second in pairwise(list(module._modules)):
        convolution, norm = module._modules[first], module._modules[second]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module._modules[first] = fuse_conv_bn_eval(convolution, norm)
            module._modules[second] = getattr(norm, "act", nn.Identity())


def load_backbone(backbone: nn.Module, path: str | Path) -> None:
    """Copy the weights of a safetensors file into a backbone, all but the last layer.

    Tensors are matched by name if the file has the backbone's names, otherwise by order, because libraries name the
    same layers differently. A file that does not hold the weights of this architecture is refused by a `ValueError`.
    """
    try:
        tensors = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error}): give timm's model.safetensors") from None
    # Some libraries store batch norm's counters, others do not.
    own, stored = ({k: v for k, v in t.items() if "num_batches" not in k} for t in (backbone.state_dict(), tensors))
    names = list(own) if stored.keys() == own.keys() else sorted(stored, key=_layer_order)
    pairs = list(zip(own, names, strict=False))[:-2]
    wrong = [f"{len(names)} tensors for {len(own)}"] if len(own) != len(names) else []
    wrong += [f"{a} does not fit {b}" for a, b in pairs if own[a].shape != stored[b].shape]
    if wrong:
        raise ValueError(
            f"{path} does not hold the weights of this backbone ({wrong[0]}); name the backbone it was made for"
        )
    backbone.load_state_dict({target: stored[source] for target, source in pairs}, strict=False)


def _layer_order(name: str) -> tuple[bool, list[tuple[int, int, str]]]:
    """Sort key of a tensor's name: numbered parts compare as numbers, statistics come after weights, the head last."""
    *parts, last = name.split(".")
    numbered = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]
    kind = {"weight": 0, "bias": 1, "running_mean": 2, "running_var": 3}.get(last, 9)
    return name.startswith(("classifier", "fc", "head")), [*numbered, (2, kind, last)]
