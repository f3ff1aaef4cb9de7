"""Checkpoints: weights as safetensors, everything else as JSON beside them; nothing is unpickled."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cfexplain.images import write_whole
from cfexplain_classifiers.estimator import Scale
from cfexplain_classifiers.network import Architecture, LesionClassifier

FORMAT = 1
SHIPPED = ("synthetic", "ham10000", "isic2017", "witness")


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself besides its architecture.

    Attributes:
        data: what it was trained on.
        licence: under which terms it may be used.
        metrics: as `judge` measured them.
        recipe: how it was trained.
    """

    data: str = ""
    licence: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)


def save(network: LesionClassifier, path: str | Path, card: Card | None = None, *, half: bool = False) -> Path:
    """Write `path` (.safetensors) and the JSON beside it; `half` stores matrices in float16, half the size."""
    from safetensors.torch import save as pack

    path = Path(path)
    if path.suffix != ".safetensors":
        path = path.with_name(f"{path.name}.safetensors")  # a dot in the name is part of the name
    halved = {k for k, v in network.named_parameters() if half and v.ndim > 1}
    state = {k: _stored(v, k in halved) for k, v in network.state_dict().items()}
    write_whole(path, pack(state))
    described = {
        "format": FORMAT,
        "architecture": network.architecture.to_dict(),
        "scale": asdict(network.scale),
        **asdict(card or Card()),
    }
    write_whole(path.with_suffix(".json"), (json.dumps(described, indent=2) + "\n").encode())
    return path


def load(name: str | Path) -> LesionClassifier:
    """Open a shipped classifier by name, a training run's folder, or a .safetensors file; in evaluation mode.

    Raises:
        CheckpointError: nothing is there, parts are missing, or weights are not finite.

    Example:
        >>> load("synthetic").classes
        ('benign', 'malignant')
    """
    path = locate(name)
    network = _build(describe(path), path)
    _fill(network, path)
    return network.eval().requires_grad_(False)


def locate(name: str | Path) -> Path:
    """The weights' file that a name, folder or path stands for."""
    if str(name) in SHIPPED:
        return Path(str(files("cfexplain_classifiers") / "shipped" / f"{name}.safetensors"))
    path = Path(name)
    path = path / "classifier.safetensors" if path.is_dir() else path
    if not path.is_file():
        known = ", ".join(SHIPPED)
        raise CheckpointError(
            f"there is no classifier {name}: give one of {known}, a training run, or a .safetensors file"
        )
    return path


def describe(path: Path) -> dict[str, Any]:
    """The JSON beside a checkpoint's weights."""
    try:
        described: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.with_suffix('.json')} is missing: copy it from where {path.name} came from"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path.with_suffix('.json')} is not valid JSON ({error}): copy it again") from None
    if not isinstance(described, dict):
        raise CheckpointError(f"{path.with_suffix('.json')} does not describe a classifier: copy it again")
    if described.get("format") != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {described.get('format')}, this version reads {FORMAT}")
    return described


def _build(described: dict[str, Any], path: Path) -> LesionClassifier:
    try:
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in described["architecture"].items()
        }
        architecture = Architecture(**fields)
        with torch.random.fork_rng(devices=[]):
            network = LesionClassifier(architecture)
        network.scale = Scale(**described["scale"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path.with_suffix('.json')} lacks what is needed to build the network ({error})"
        ) from None
    if not all(map(math.isfinite, (network.scale.mean, network.scale.std))):
        raise CheckpointError(f"{path.with_suffix('.json')} has a scale of the estimator that is not finite")
    return network


def _fill(network: LesionClassifier, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a complete safetensors file ({error}): copy it again") from None
    own = network.state_dict()
    absent = sorted(set(own) - set(stored))
    if absent:
        raise CheckpointError(
            f"{path} lacks {len(absent)} tensors, such as {absent[0]}: it was made for another network"
        )
    wrong = [k for k, v in own.items() if stored[k].shape != v.shape]
    if wrong:
        raise CheckpointError(
            f"{path}: {wrong[0]} has shape {tuple(stored[wrong[0]].shape)}, not {tuple(own[wrong[0]].shape)}"
        )
    broken = [k for k, v in stored.items() if v.is_floating_point() and not bool(v.isfinite().all())]
    if broken:
        raise CheckpointError(
            f"{path} holds infinite or undefined weights, such as {broken[0]}: the training went wrong"
        )
    network.load_state_dict({k: stored[k].to(v.dtype) for k, v in own.items()})


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.to(torch.float16) if half else value
