"""Classifiers, their classes and devices by the names that users type, and a lesion to demonstrate them on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cfexplain.classifier.checks import check_classifier, class_index, device_of_weights, module_of, predict
from cfexplain.plugins import load_object, plugin
from cfexplain.types import Classifier

WITNESS = "witness"  # The shipped classifier that judges counterfactuals unless the user names others.


def load_classifier(name: str, device: str = "auto") -> Classifier:
    """Load a classifier onto a device, in evaluation mode.

    Args:
        name: of a shipped classifier, a training run's folder, a .safetensors file, or module:function.
        device: auto, cpu, cuda, ...

    Raises:
        ValueError: there is no such classifier or device, or what the function returns is not a classifier.
    """
    if not _is_object(name):
        return plugin("classifiers").load(name).to(device_of(device))  # type: ignore[no-any-return]
    classifier: Classifier = load_object(name)()
    if not callable(classifier) or not hasattr(classifier, "classes") or not hasattr(classifier, "image_size"):
        raise ValueError(
            f"{name} gave {type(classifier).__name__}, not a classifier: return cfexplain.wrap(model, ...) from it"
        )
    check_classifier(classifier)
    if (module := module_of(classifier)) is not None:
        module.to(device_of(device))
    return classifier


def load_oracles(names: Sequence[str], explained: str, classifier: Classifier) -> dict[str, Classifier]:
    """Load independent classifiers for the verdict on a classifier of the name `explained`, on its device.

    Without names it is `WITNESS` if that has the same classes; the name "none" is no oracle.
    """
    if not names:
        classes = plugin("classifiers").card(WITNESS)["architecture"]["classes"]
        names = (WITNESS,) if explained != WITNESS and list(classes) == list(classifier.classes) else ()
    device = str(device_of_weights(classifier))
    return {name: load_classifier(name, device) for name in names if name != "none"}


def licence_of(name: str) -> str | None:
    """The licence of a classifier's weights; None where it is unknown, as for the user's own module:function."""
    return None if _is_object(name) else str(plugin("classifiers").card(name).get("licence") or "") or None


def class_of(name: str, classifier: Classifier) -> int | str:
    """The index of a class by name or number; "auto" stays as it is, and a ValueError lists the classes there are."""
    if name == "auto":
        return name
    return class_index(classifier, int(name) if name.isdecimal() and name not in classifier.classes else name)


def device_of(name: str) -> torch.device:
    """A torch device by name; auto is a GPU if there is one, and a ValueError says why there is no such device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name} cannot be used here ({str(error).splitlines()[0]})") from None


def synthetic_lesion(seed: int) -> Any:
    """A malignant synthetic test lesion (with `id` and `image`) that the classifier `synthetic` predicts correctly."""
    classifier = load_classifier("synthetic", "cpu")
    return plugin("datasets").demo_lesion(seed, lambda images: predict(classifier, images).logits.argmax(1))


def _is_object(name: str) -> bool:
    return ":" in name and not Path(name).exists()
