"""Classifiers, methods, devices and folders by the names that people type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from cfexplain import images as files
from cfexplain.classifier.checks import device_of_weights
from cfexplain.method.presets import METHODS
from cfexplain.method.stage import Method
from cfexplain.types import Classifier


def load_classifier(name: str, device: str = "auto") -> Classifier:
    """A classifier by shipped name, run, .safetensors file or module:function, on its device, in evaluation mode."""
    if ":" in name and not Path(name).exists():
        found: Classifier = load_object(name)()
        if not callable(found) or not hasattr(found, "classes") or not hasattr(found, "image_size"):
            raise ValueError(
                f"{name} gave {type(found).__name__}, not a classifier: return cfexplain.wrap(model, ...) from it"
            )
        module = found if isinstance(found, torch.nn.Module) else getattr(found, "module", None)
        if isinstance(module, torch.nn.Module):
            module.to(device_of(device))
        return found
    ours = import_module("cfexplain_classifiers")
    moved: Classifier = ours.folded(ours.load(name)).to(device_of(device))
    return moved


def load_oracles(names: Sequence[str], explained: str, classifier: Classifier) -> dict[str, Classifier]:
    """Independent classifiers for the verdict; by default the shipped witness, where it knows the same classes."""
    if not names:
        described = import_module("cfexplain_classifiers.checkpoint")
        known = described.describe(described.locate("witness"))["architecture"]["classes"]
        names = ("witness",) if explained != "witness" and list(known) == list(classifier.classes) else ()
    device = str(device_of_weights(classifier))
    return {name: load_classifier(name, device) for name in names if name != "none"}


def licence_of(name: str) -> str | None:
    """The licence that a checkpoint carries; None for a module of the user's."""
    if ":" in name and not Path(name).exists():
        return None
    checkpoint = import_module("cfexplain_classifiers.checkpoint")
    return str(checkpoint.describe(checkpoint.locate(name)).get("licence") or "") or None


def load_method(name: str) -> Method:
    """A method by name, or module:NAME of your own."""
    if name in METHODS:
        return METHODS[name]
    if ":" not in name:
        raise ValueError(f"there is no method {name}: use {', '.join(METHODS)}, or module:NAME")
    found = load_object(name)
    if not isinstance(found, Method):
        raise ValueError(f"{name} is {type(found).__name__}, not a cfexplain.Method")
    return found


def load_object(name: str) -> Any:
    """What module:name stands for; modules in the working folder are found."""
    import sys

    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name} cannot be imported ({error})") from None


def device_of(name: str) -> torch.device:
    """A torch device by name; auto is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name} cannot be used here ({str(error).splitlines()[0]})") from None
    return device


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to, or say why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_whole(folder / ".writable", b"")
        (folder / ".writable").unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"the output folder {folder} cannot be written to ({error.strerror}): name another with --out"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, whole or not at all."""
    import json

    files.write_whole(path, (json.dumps(finite(value), indent=2, allow_nan=False) + "\n").encode())


def finite(value: Any) -> Any:
    """The same plain values with None for numbers that JSON has not: infinite and undefined ones."""
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
