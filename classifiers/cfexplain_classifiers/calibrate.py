"""Calibration on validation data: equal class priors, temperature scaling, scale of the loss estimator."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain_classifiers.batches import labelled
from cfexplain_classifiers.estimator import Scale
from cfexplain_classifiers.network import LesionClassifier


@torch.no_grad()
def predict_all(
    network: LesionClassifier, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"], Int[Tensor, " n"]]:
    """Logits, estimated losses and labels of every labelled image, on the CPU."""
    device = next(network.parameters()).device
    rows = []
    for images, labels in labelled(batches):
        prediction = network(images.to(device))
        rows.append((prediction.logits.float().cpu(), prediction.loss.float().cpu(), labels))
    if not rows:
        raise ValueError("none of the images to evaluate the classifier on has a label")
    logits, losses, labels = map(torch.cat, zip(*rows, strict=True))
    return logits, losses, labels


def calibrate(network: LesionClassifier, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Set the network's temperature and the estimator's scale from validation images, in place."""
    network.temperature.fill_(1.0)
    network.scale = Scale()
    logits, raw, labels = predict_all(network, batches)
    network.temperature.fill_(best_temperature(logits, labels))
    network.scale = Scale.measure(raw, labels, logits.argmax(1), network.classes)


def equalise_priors(network: LesionClassifier, counts: Int[Tensor, " k"], balance: float) -> None:
    """Let a classifier predict as if all classes were equally frequent, in place; one without a last bias stays.

    It was trained on draws with class shares pi_c proportional to n_c^(1 - balance): log pi_c is subtracted from the
    bias of the last layer.

    Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, the post-hoc form with tau = 1.
    """
    bias = getattr(network.backbone.get_classifier(), "bias", None)
    if bias is None:
        return
    shares = counts.clamp_min(1).double() ** (1 - balance)
    with torch.no_grad():
        bias -= (shares / shares.sum() * len(shares)).log().to(bias)


@torch.enable_grad()
def best_temperature(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> float:
    """The temperature T that minimises the cross entropy of logits / T.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.

    Example:
        >>> best_temperature(torch.tensor([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 1, 1])) > 1
        True
    """
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], lr=0.5, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits.double() / log_temperature.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(log_temperature.detach().exp().clamp(0.05, 20))
