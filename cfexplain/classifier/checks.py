"""Using a classifier that is not ours: check it, predict with it, find its classes by name; never change it."""

import warnings

import torch
from torch import Tensor, nn

from cfexplain.types import Classifier, Images, Prediction


def check_classifier(classifier: Classifier) -> None:
    """Raise a ValueError for a classifier in training mode: normalisation and dropout would change its predictions."""
    module = module_of(classifier)
    if module is not None and any(part.training for part in module.modules()):
        raise ValueError("the classifier is in training mode: call .eval() on it before explaining its predictions")


def check_outputs(classifier: Classifier, image: Images) -> None:
    """Refuse a classifier whose outputs a search would silently misread.

    Raises:
        ValueError: no gradient flows from the logits to the image, or it is zero or undefined everywhere; outputs
            change from call to call; or they are probabilities. The message says what to do.

    Warns:
        UserWarning: all outputs lie between 0 and 1, as those of a sigmoid do.
    """
    before = predict(classifier, image).logits  # refuses wrong shapes and undefined values
    image = image.detach().clone().requires_grad_()
    logits = classifier(image).logits
    if not logits.requires_grad:
        raise ValueError(
            "no gradient flows from the classifier's logits to the image: its forward runs without gradient "
            "(torch.no_grad, .detach(), numpy), so there is nothing to descend"
        )
    weights = torch.linspace(1, 2, logits.shape[-1], device=logits.device, dtype=logits.dtype)
    gradient = torch.autograd.grad((logits * weights).sum(), image, allow_unused=True)[0]
    if gradient is None or bool((gradient == 0).all()):
        raise ValueError(
            "the gradient of the classifier's logits with respect to the image is zero: part of its forward runs "
            "without gradient (a backbone under torch.no_grad, rounding, quantisation), or its outputs are saturated"
        )
    if not bool(gradient.isfinite().any()):
        raise ValueError("the gradient of the classifier's logits with respect to the image is not finite")
    if float((before - logits.detach()).abs().max()) > 1e-3 * (1 + float(before.abs().max())):
        raise ValueError(
            "the classifier answers differently each time it is asked about the same image: its forward draws random "
            "numbers (augmentation or dropout in forward()): switch that off"
        )
    with torch.no_grad():
        noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
        some = torch.cat([image, 1 - image, image.mean().expand_as(image), noise])
        outputs = classifier(some).logits
    if bool(((outputs >= 0) & (outputs <= 1)).all()):
        if bool(((outputs.sum(1) - 1).abs() < 1e-3).all()):
            raise ValueError(
                "the classifier answers with probabilities, not with logits: its outputs lie in [0, 1] and sum to 1. "
                'Wrap it with cfexplain.wrap(..., outputs="probabilities")'
            )
        warnings.warn(
            "all outputs of the classifier lie between 0 and 1: if they are those of a sigmoid, wrap the model with "
            'cfexplain.wrap(..., outputs="sigmoid")',
            stacklevel=3,
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
            '(for one sigmoid: cfexplain.wrap(..., outputs="sigmoid"))'
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
