"""Using a classifier that is not ours: check it, predict with it, find its classes by name; never change it."""

import torch
from torch import Tensor, nn

from cfexplain.types import Classifier, Images, Prediction


def check_classifier(classifier: Classifier) -> None:
    """Raise a ValueError for a classifier in training mode: normalisation and dropout would change its predictions."""
    module = module_of(classifier)
    if module is not None and any(part.training for part in module.modules()):
        raise ValueError("the classifier is in training mode: call .eval() on it before explaining its predictions")


def check_gradient(classifier: Classifier, images: Images) -> None:
    """Raise a ValueError for a classifier whose logits have no gradient with respect to the image."""
    if not classifier(images.detach().clone().requires_grad_()).logits.requires_grad:
        raise ValueError(
            "no gradient flows from the classifier's logits to the image: its forward runs without gradient "
            "(torch.no_grad, .detach(), numpy), so there is nothing to descend"
        )


@torch.no_grad()
def predict(classifier: Classifier, images: Images, *, defined: bool = True) -> Prediction:
    """Predict images without gradient.

    Raises:
        ValueError: there is not one logit for each class, or one is not finite, which a search that diverged reports as
            a status instead (`defined=False`).
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


def module_of(classifier: Classifier) -> nn.Module | None:
    """The torch module behind a classifier; None if it has none."""
    module = classifier if isinstance(classifier, nn.Module) else getattr(classifier, "module", None)
    return module if isinstance(module, nn.Module) else None


def device_of_weights(classifier: Classifier) -> torch.device:
    """The device of a classifier's weights; the CPU if it has no torch weights."""
    return _first_weight(classifier).device


def dtype_of_weights(classifier: Classifier) -> torch.dtype:
    """The precision of a classifier's weights; float32 if it has no torch weights."""
    return _first_weight(classifier).dtype


def _first_weight(classifier: Classifier) -> Tensor:
    module, none = module_of(classifier), torch.empty(0, dtype=torch.float32, device="cpu")
    return none if module is None else next(module.parameters(), none)


def class_index(classifier: Classifier, target: int | str) -> int:
    """The index of a class given by name or index; a ValueError lists the classes there are."""
    classes = list(classifier.classes)
    if isinstance(target, str) and target in classes:
        return classes.index(target)
    if isinstance(target, int) and 0 <= target < len(classes):
        return target
    raise ValueError(f"the classifier has no class {target!r}; it knows {', '.join(classes)}")
