"""Checkpoints: weights as safetensors, everything else as JSON beside them; loading executes no code from a file."""

import json
import math
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from cfexplain.images import write_whole
from cfexplain_classifiers.estimator import Scale
from cfexplain_classifiers.network import Architecture, LesionClassifier

FORMAT = 1
SHIPPED = ("synthetic", "ham10000", "isic2017", "witness")


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Card:
    """What a checkpoint was trained on, its terms of use, its `metrics` as measured by `judge`, its training recipe."""

    data: str = ""
    licence: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)


def save(network: LesionClassifier, path: str | Path, card: Card | None = None, *, half: bool = False) -> Path:
    """Write `path` (.safetensors) and the JSON beside it; `half` stores weight matrices and kernels in float16."""
    path = Path(path)
    if path.suffix != ".safetensors":
        path = path.with_name(f"{path.name}.safetensors")  # a dot in the name is part of the name
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    if half:
        state |= {name: state[name].half() for name, value in network.named_parameters() if value.ndim > 1}
    write_whole(path, safetensors.torch.save(state))
    parts = {"format": FORMAT, "architecture": asdict(network.architecture), "scale": asdict(network.scale)}
    description = json.dumps(parts | asdict(card or Card()), indent=2)
    write_whole(path.with_suffix(".json"), f"{description}\n".encode())
    return path


def load(name: str | Path) -> LesionClassifier:
    """Load a shipped classifier by name, the folder of a training run, or a .safetensors file; in evaluation mode.

    Raises:
        CheckpointError: the checkpoint does not exist, is incomplete, or holds weights that are not finite.

    Example:
        >>> load("synthetic").classes
        ('benign', 'malignant')
    """
    path = locate(name)
    network = _build(describe(path), path.with_suffix(".json"))
    _load_weights(network, path)
    return network.eval().requires_grad_(False)


def locate(name: str | Path) -> Path:
    """The weights file of a shipped name, the folder of a run, or a path."""
    if str(name) in SHIPPED:
        return Path(str(files("cfexplain_classifiers") / "shipped" / f"{name}.safetensors"))
    path = Path(name, "classifier.safetensors") if Path(name).is_dir() else Path(name)
    if not path.is_file():
        raise CheckpointError(
            f"there is no classifier {name}: give one of {', '.join(SHIPPED)}, a training run, or a .safetensors file"
        )
    return path


def describe(path: Path) -> dict[str, Any]:
    """The JSON beside a checkpoint's weights."""
    beside = path.with_suffix(".json")
    try:
        description: dict[str, Any] = json.loads(beside.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{beside} is missing: copy it from where {path.name} came from") from None
    except ValueError as error:
        raise CheckpointError(f"{beside} is not valid JSON ({error}): copy it again") from None
    if not isinstance(description, dict):
        raise CheckpointError(f"{beside} does not describe a classifier: copy it again")
    if description.get("format") != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {description.get('format')}, this version reads {FORMAT}")
    return description


def _build(description: dict[str, Any], path: Path) -> LesionClassifier:
    try:  # only the fields of `Architecture` reach timm
        given = description["architecture"]
        if given.get("options"):
            raise ValueError(f"timm options {given['options']} are not supported")
        architecture = Architecture(given["backbone"], tuple(given["classes"]), given["image_size"], given["dropout"])
        with torch.random.fork_rng(devices=[]):
            network = LesionClassifier(architecture)
        network.scale = Scale(**description["scale"])
        if not math.isfinite(network.scale.mean) or not math.isfinite(network.scale.std):
            raise ValueError("the scale of its loss estimator is not finite")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} lacks what is needed to build the network ({error})") from None
    return network


def _load_weights(network: LesionClassifier, path: Path) -> None:
    try:
        stored = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is not a complete safetensors file ({error}): copy it again") from None
    state = network.state_dict()
    for name, value in state.items():
        if name not in stored:
            raise CheckpointError(f"{path} lacks the tensor {name}: it was made for another network")
        if stored[name].shape != value.shape:
            raise CheckpointError(f"{path}: {name} has shape {tuple(stored[name].shape)}, not {tuple(value.shape)}")
        if not bool(stored[name].isfinite().all()):
            raise CheckpointError(f"{path} holds infinite or undefined weights, such as {name}: the training diverged")
    network.load_state_dict({name: stored[name] for name in state})
