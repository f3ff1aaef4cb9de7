"""Dealing with somebody else's classifier: checked, asked, its classes by name; never changed."""

from __future__ import annotations

import torch
from torch import nn

from cfexplain.types import Classifier, Images, Prediction


def check_classifier(classifier: Classifier) -> None:
    """Refuse a classifier in training mode: its normalisation and dropout would answer differently each time."""
    module = classifier if isinstance(classifier, nn.Module) else getattr(classifier, "module", None)
    if isinstance(module, nn.Module) and any(m.training for m in module.modules()):
        raise ValueError("the classifier is in training mode: call .eval() on it before explaining its predictions")


def check_gradient(classifier: Classifier, images: Images) -> None:
    """Refuse a classifier through which no gradient reaches the image: no search could ever move it.

    Raises:
        ValueError: its logits do not depend on the image as far as autograd knows.
    """
    if not classifier(images.detach().clone().requires_grad_()).logits.requires_grad:
        raise ValueError(
            "no gradient flows from the classifier's logits to the image: its forward runs without gradient "
            "(torch.no_grad, .detach(), numpy), so there is nothing to descend"
        )


@torch.no_grad()
def predict(classifier: Classifier, images: Images, *, defined: bool = True) -> Prediction:
    """What the classifier says of images, without gradient.

    Args:
        classifier: in evaluation mode.
        images: n images.
        defined: refuse logits that are not finite; where a search went astray they are a status, not an error.

    Raises:
        ValueError: the logits are not finite, or not one for each class.
    """
    prediction, classes = classifier(images), len(classifier.classes)
    if prediction.logits.ndim != 2 or prediction.logits.shape[1] != classes or classes < 2:
        raise ValueError(
            f"the classifier names {classes} classes and answers with logits of shape "
            f"{tuple(prediction.logits.shape)}: it must give one for each of at least two classes "
            "(of a sigmoid's logit x, give -x / 2 and x / 2)"
        )
    if defined and not bool(prediction.logits.isfinite().all()):
        raise ValueError("the classifier answers with infinite or undefined logits: its weights are damaged")
    return prediction.detach()


def device_of_weights(classifier: Classifier) -> torch.device:
    """Where a classifier's weights are; the CPU for one that has none to see."""
    first = _first_weight(classifier)
    return torch.device("cpu") if first is None else first.device


def dtype_of_weights(classifier: Classifier) -> torch.dtype:
    """In which a classifier computes; float32 for one that has no weights to see."""
    first = _first_weight(classifier)
    return torch.float32 if first is None else first.dtype


def _first_weight(classifier: Classifier) -> nn.Parameter | None:
    module = classifier if isinstance(classifier, nn.Module) else getattr(classifier, "module", None)
    return next(module.parameters(), None) if isinstance(module, nn.Module) else None


def class_index(classifier: Classifier, target: int | str) -> int:
    """The index of a class given by name or index.

    Raises:
        ValueError: the classifier has no such class; the message lists those it has.
    """
    classes = list(classifier.classes)
    if isinstance(target, str) and target in classes:
        return classes.index(target)
    if isinstance(target, int) and 0 <= target < len(classes):
        return target
    raise ValueError(f"the classifier has no class {target!r}; it knows {', '.join(classes)}")
