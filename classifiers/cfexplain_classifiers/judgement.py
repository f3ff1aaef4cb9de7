"""How good a classifier and its loss estimator are, on labelled images that neither has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain.types import Images
from cfexplain_classifiers.calibrate import predict_all
from cfexplain_classifiers.network import LesionClassifier

Array = np.ndarray


@dataclass(frozen=True)
class Judgement:
    """Measured quality; every share is of `n` images, every interval is a 95 % percentile bootstrap.

    Attributes:
        n: images judged.
        classifier: accuracy, balanced accuracy, macro AUROC, sensitivities, calibration error.
        estimator: rank agreement with the true loss, overall and inside classes.
        misclassification: AUROC for telling wrong from right predictions: estimator, max-softmax, entropy, and
            the paired difference estimator minus max-softmax with its interval; `combined` averages the ranks
            of estimator and max-softmax.
        out_of_distribution: AUROC for telling images that are no lesions from lesions, by kind and scorer.
        reliability: true loss and error rate in ten bins of the estimate, lowest first.
    """

    n: int
    classifier: dict[str, float] = field(default_factory=dict)
    estimator: dict[str, Any] = field(default_factory=dict)
    misclassification: dict[str, Any] = field(default_factory=dict)
    out_of_distribution: dict[str, dict[str, float]] = field(default_factory=dict)
    reliability: dict[str, list[float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


def judge(
    network: LesionClassifier,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    strangers: Mapping[str, Images] | None = None,
    positive: str | None = None,
    seed: int = 0,
) -> Judgement:
    """Measure a classifier and its estimator on labelled batches of (images, labels).

    Args:
        network: in evaluation mode.
        batches: labelled images, labels -1 are left out.
        strangers: images that are no lesions by kind, at the network's size (see `strangers_from`).
        positive: class whose sensitivity at 0.90 and 0.95 specificity is reported; melanoma where it exists.
        seed: of the bootstrap.
    """
    logits, estimated, labels = predict_all(network, batches)
    positive = positive or next((c for c in ("mel", "melanoma", "malignant") if c in network.classes), None)
    true = F.cross_entropy(logits, labels, reduction="none")
    return Judgement(
        n=len(labels),
        classifier=classifier_quality(logits, labels, network, positive),
        estimator=estimator_quality(estimated, true, labels, network.classes),
        misclassification=misclassification(logits, estimated, labels, seed),
        out_of_distribution=_out_of_distribution(network, logits, estimated, strangers or {}),
        reliability=reliability(estimated, true, logits.argmax(1) != labels),
    )


def classifier_quality(
    logits: Tensor, labels: Tensor, network: LesionClassifier, positive: str | None
) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro AUROC (one against the rest), calibration before and after temperature."""
    from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

    p, y = logits.softmax(1).numpy(), labels.numpy()
    present = [c for c in range(p.shape[1]) if 0 < (y == c).sum() < len(y)]
    quality = {
        "accuracy": float((p.argmax(1) == y).mean()),
        "balanced_accuracy": float(balanced_accuracy_score(y, p.argmax(1))),
        "macro_auroc": float(np.mean([roc_auc_score(y == c, p[:, c]) for c in present])),
        "ece_before_temperature": calibration_error((logits * network.temperature.cpu()).softmax(1), labels),
        "ece": calibration_error(logits.softmax(1), labels),
    }
    recalls = recall_score(y, p.argmax(1), labels=range(p.shape[1]), average=None, zero_division=np.nan)
    quality |= {f"recall_{name}": float(r) for name, r in zip(network.classes, recalls, strict=True)}
    if positive is not None:
        index = list(network.classes).index(positive)
        for specificity in (0.90, 0.95):
            key = f"sensitivity_{positive}_at_specificity_{specificity:.2f}"
            quality[key] = sensitivity_at(p[:, index], y == index, specificity)
    return quality


def sensitivity_at(score: Array, positive: Array, specificity: float) -> float:
    """Share of the positives above the threshold that this share of the negatives stays below; NaN without either.

    Example:
        >>> sensitivity_at(np.array([0.1, 0.2, 0.9, 0.8]), np.array([False, False, True, True]), 0.9)
        1.0
    """
    if positive.all() or not positive.any():
        return float("nan")
    threshold = np.quantile(score[~positive], specificity)
    return float((score[positive] > threshold).mean())


def calibration_error(probabilities: Float[Tensor, "n k"], labels: Int[Tensor, " n"], bins: int = 15) -> float:
    """Expected calibration error: mean |accuracy - confidence| over equal-width bins of the confidence.

    Source: Guo et al. 2017, equation 3.
    """
    confidence, predicted = probabilities.max(1)
    right = (predicted == labels).double()
    index = (confidence * bins).long().clamp_max(bins - 1)
    gaps = [abs(float(right[index == b].sum() - confidence[index == b].double().sum())) for b in range(bins)]
    return sum(gaps) / len(labels)


def estimator_quality(estimated: Tensor, true: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """Spearman, Kendall tau-b and ranking accuracy (share of pairs in the right order), overall and by class."""
    from scipy.stats import kendalltau, spearmanr

    def agreement(e: Array, t: Array) -> dict[str, float]:
        if np.ptp(e) == 0 or np.ptp(t) == 0:  # an estimate that is always the same says nothing
            return {"spearman": 0.0, "kendall": 0.0, "ranking_accuracy": 0.5}
        i, j = np.triu_indices(len(e), 1)
        untied = t[i] != t[j]
        ordered = np.sign(e[i] - e[j])[untied] == np.sign(t[i] - t[j])[untied]
        return {
            "spearman": float(spearmanr(e, t).statistic),
            "kendall": float(kendalltau(e, t).statistic),
            "ranking_accuracy": float(ordered.mean()),
        }

    e, t, y = estimated.numpy(), true.numpy(), labels.numpy()
    by_class = {name: agreement(e[y == c], t[y == c]) for c, name in enumerate(classes) if (y == c).sum() > 2}
    return {**agreement(e, t), "by_class": by_class}


def misclassification(logits: Tensor, estimated: Tensor, labels: Tensor, seed: int = 0) -> dict[str, Any]:
    """AUROC for finding wrong predictions, beside max-softmax and entropy, with a paired bootstrap."""
    from scipy.stats import rankdata
    from sklearn.metrics import roc_auc_score

    scores = uncertainty_scores(logits, estimated)
    scores["combined"] = (rankdata(scores["estimator"]) + rankdata(scores["max_softmax"])) / 2
    wrong = (logits.argmax(1) != labels).numpy()
    if wrong.all() or not wrong.any():
        return {"errors": int(wrong.sum())}
    result: dict[str, Any] = {"errors": int(wrong.sum())}
    result |= {name: float(roc_auc_score(wrong, score)) for name, score in scores.items()}
    rng = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {"estimator": [], "combined": []}
    for _ in range(1000):
        chosen = rng.integers(len(wrong), size=len(wrong))
        if 0 < wrong[chosen].sum() < len(wrong):
            base = roc_auc_score(wrong[chosen], scores["max_softmax"][chosen])
            for name, gains in draws.items():
                gains.append(roc_auc_score(wrong[chosen], scores[name][chosen]) - base)
    for name, gains in draws.items():
        result[f"{name}_minus_max_softmax"] = result[name] - result["max_softmax"]
        result[f"{name}_minus_max_softmax_interval"] = [float(q) for q in np.quantile(gains, (0.025, 0.975))]
    return result


def uncertainty_scores(logits: Tensor, estimated: Tensor) -> dict[str, Array]:
    """Three scores that should be high where a prediction is not to be trusted."""
    p = logits.softmax(1)
    entropy = -(p * p.clamp_min(1e-12).log()).sum(1)
    return {"estimator": estimated.numpy(), "max_softmax": -p.max(1).values.numpy(), "entropy": entropy.numpy()}


@torch.no_grad()
def _out_of_distribution(
    network: LesionClassifier, logits: Tensor, estimated: Tensor, strangers: Mapping[str, Images]
) -> dict[str, dict[str, float]]:
    from sklearn.metrics import roc_auc_score

    home, found = uncertainty_scores(logits, estimated), {}
    device = next(network.parameters()).device
    for kind, images in strangers.items():
        seen = [network(part.to(device)) for part in images.split(64)]
        away = uncertainty_scores(
            torch.cat([s.logits.float().cpu() for s in seen]), torch.cat([s.loss.float().cpu() for s in seen])
        )
        truth = np.r_[np.zeros(len(logits)), np.ones(len(images))]
        found[kind] = {name: float(roc_auc_score(truth, np.r_[home[name], away[name]])) for name in home}
    if found:
        found["mean"] = {name: float(np.mean([f[name] for f in found.values()])) for name in home}
    return found


def reliability(estimated: Tensor, true: Tensor, wrong: Tensor, bins: int = 10) -> dict[str, list[float]]:
    """Mean true loss and error rate in bins of equal count of the estimate; a good estimator's rise."""
    parts = [p for p in estimated.argsort().chunk(bins) if len(p)]
    return {
        "estimated": [float(estimated[p].mean()) for p in parts],
        "true_loss": [float(true[p].mean()) for p in parts],
        "error_rate": [float(wrong[p].float().mean()) for p in parts],
    }


def strangers_from(images: Images, *, seed: int = 0) -> dict[str, Images]:
    """Images that are no lesions, at the size of a batch of lesions: photographs, inverted colours, noise.

    The photographs are random square parts of those that scikit-image carries (chelsea, coffee, astronaut,
    rocket), at least 1/3 of the shorter side.
    """
    from skimage import data

    from cfexplain.images import resize

    rng = torch.Generator().manual_seed(seed)
    sources = [data.chelsea(), data.coffee(), data.astronaut(), data.rocket()]
    photos = [torch.from_numpy(np.array(s)).permute(2, 0, 1).float() / 255 for s in sources]
    size, parts = images.shape[-1], []
    for k in range(len(images)):
        photo = photos[k % len(photos)]
        shorter = min(photo.shape[-2:])
        side = int(torch.randint(shorter // 3, shorter + 1, (), generator=rng))
        top = int(torch.randint(photo.shape[-2] - side + 1, (), generator=rng))
        left = int(torch.randint(photo.shape[-1] - side + 1, (), generator=rng))
        parts.append(resize(photo[None, :, top : top + side, left : left + side], size)[0].clamp(0, 1))
    noise = torch.rand(images.shape, generator=rng)
    return {"photographs": torch.stack(parts), "inverted colours": 1 - images, "white noise": noise}
