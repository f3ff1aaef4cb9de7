"""The classifier: any timm backbone with its head, normalisation inside, and the loss estimator on its stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from cfexplain.types import Images, Prediction
from cfexplain_classifiers.estimator import LossEstimator, Scale

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Architecture:
    """Everything that is needed to build the network again.

    Attributes:
        backbone: name of a timm model.
        classes: names in the order of the logits.
        image_size: pixels a side that it is trained at.
        mean: subtracted from images in [0, 1], by channel.
        std: divided by, by channel.
        dropout: share of the last features dropped in training.
        estimator_width: units a tap of the loss estimator.
    """

    backbone: str
    classes: tuple[str, ...]
    image_size: int = 128
    mean: tuple[float, ...] = HALF
    std: tuple[float, ...] = HALF
    dropout: float = 0.2
    estimator_width: int = 128
    options: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


class LesionClassifier(nn.Module):
    """A classifier with its loss estimator; `classifier(images)` is a `Prediction`.

    The taps are the backbone's stages and its final map, shallow to deep. Logits are divided by the
    temperature and estimated losses standardised once the network is calibrated (both buffers travel with
    the weights).

    Args:
        architecture: what to build.
        pretrained: start the backbone from timm's own download (needs a network).

    Example:
        >>> network = LesionClassifier(Architecture("lcnet_035", ("benign", "malignant"), 32)).eval()
        >>> network(torch.rand(2, 3, 32, 32)).logits.shape
        torch.Size([2, 2])
    """

    def __init__(self, architecture: Architecture, *, pretrained: bool = False) -> None:
        import timm

        super().__init__()
        if not timm.is_model(architecture.backbone) and ":" not in architecture.backbone:  # of a hub
            near = get_close_matches(architecture.backbone, timm.list_models(), 3)
            advice = f"is it {' or '.join(near)}?" if near else "timm.list_models() names them"
            raise ValueError(f"timm {timm.__version__} has no model {architecture.backbone}: {advice}")
        self.mean: Tensor
        self.std: Tensor
        self.temperature: Tensor
        self.architecture = architecture
        self.scale = Scale()
        self.backbone = timm.create_model(
            architecture.backbone,
            pretrained=pretrained,
            num_classes=len(architecture.classes),
            drop_rate=architecture.dropout,
            **architecture.options,
        )
        _start_undecided(self.backbone)
        self.register_buffer("mean", torch.tensor(architecture.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(architecture.std).view(1, 3, 1, 1))
        self.register_buffer("temperature", torch.ones(()))
        self.estimator = LossEstimator(_tap_channels(self), architecture.estimator_width)

    @property
    def classes(self) -> Sequence[str]:
        """Names in the order of the logits."""
        return self.architecture.classes

    @property
    def image_size(self) -> int:
        """Pixels a side that it was trained at."""
        return self.architecture.image_size

    @property
    def module(self) -> nn.Module:
        """The network itself, for tools that hook modules, such as captum."""
        return self

    def usual_loss(self, index: int, share: float = 0.5) -> float:
        """Estimated loss below which this share of the correctly classified validation images of a class lies."""
        return self.scale.quantile(self.classes[index], share)

    def taps(self, images: Images) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Uncalibrated logits, shape (n, k), and tapped maps."""
        normal = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        final, stages = self.backbone.forward_intermediates(normal)
        return self.backbone.forward_head(final), (*stages, final)

    def forward(self, images: Images) -> Prediction:
        """Calibrated prediction of images in [0, 1]."""
        logits, features = self.taps(images)
        loss = (self.estimator(features) - self.scale.mean) / self.scale.std
        return Prediction(logits / self.temperature, features, loss)


def _start_undecided(backbone: nn.Module) -> None:
    """Zero the last layer: some of timm's start with logits in the tens, which wrecks pretrained features."""
    last = backbone.get_classifier()  # type: ignore[operator]
    if isinstance(last, nn.Linear):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)


def _tap_channels(network: LesionClassifier) -> list[int]:
    """Channels of each tap, found by one look at a grey image."""
    size = max(network.image_size, 32)
    was_training = network.backbone.training
    network.backbone.eval()
    try:
        with torch.no_grad():
            final, stages = network.backbone.forward_intermediates(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"{network.architecture.backbone} does not take pictures of {size} pixels: {error}") from None
    network.backbone.train(was_training)
    return [int(f.shape[1]) if f.ndim == 4 else int(f.shape[-1]) for f in (*stages, final)]
