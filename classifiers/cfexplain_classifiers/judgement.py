"""Evaluation of a classifier and its loss estimator on labelled images that neither was trained on."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain.images import resize
from cfexplain.types import Images
from cfexplain_classifiers.calibrate import predict_all
from cfexplain_classifiers.network import LesionClassifier

Array = np.ndarray


@dataclass(frozen=True)
class Judgement:
    """Measured quality; every interval is a 95 % percentile bootstrap.

    Attributes:
        n: number of images.
        classifier: accuracy, balanced accuracy, macro AUROC, recalls, sensitivities, expected calibration error.
        estimator: rank agreement of estimated and true loss, overall and within classes.
        misclassification: AUROC of wrong against right predictions by estimator, max-softmax, entropy, and `combined`,
            the mean rank of the first two; gains over max-softmax with paired intervals.
        out_of_distribution: AUROC of out-of-distribution images against lesions, by kind and score.
        reliability: mean true loss and error rate in ten bins of the estimate, lowest first.
    """

    n: int
    classifier: dict[str, float]
    estimator: dict[str, Any]
    misclassification: dict[str, Any]
    out_of_distribution: dict[str, dict[str, float]]
    reliability: dict[str, list[float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def judge(
    network: LesionClassifier,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    strangers: Mapping[str, Images] | None = None,
) -> Judgement:
    """Evaluate a classifier in evaluation mode and its estimator on batches of (images, labels).

    Labels of -1 are left out. `strangers` are out-of-distribution images by kind, at the network's size.
    """
    logits, estimated, labels = predict_all(network, batches)
    true = F.cross_entropy(logits, labels, reduction="none")
    members = {name: labels == index for index, name in enumerate(network.classes)}
    by_class = {name: _agreement(estimated[m], true[m]) for name, m in members.items() if m.sum() > 2}
    return Judgement(
        n=len(labels),
        classifier=_classifier_quality(logits, labels, network),
        estimator={**_agreement(estimated, true), "by_class": by_class},
        misclassification=_misclassification(logits, estimated, labels),
        out_of_distribution=_out_of_distribution(network, _scores(logits, estimated), strangers or {}),
        reliability=_reliability(estimated, true, logits.argmax(1) != labels),
    )


def strangers_from(images: Images, *, seed: int = 0) -> dict[str, Images]:
    """Out-of-distribution images of the shape of a batch of lesions: photographs, inverted colours, white noise.

    The photographs are random square crops of scikit-image's, at least a third of the shorter side.
    """
    from skimage import data

    rng = torch.Generator().manual_seed(seed)
    sources = [data.chelsea(), data.coffee(), data.astronaut(), data.rocket()]
    photos = [torch.from_numpy(np.array(s)).permute(2, 0, 1).float() / 255 for s in sources]
    crops = [_random_crop(photos[k % len(photos)], images.shape[-1], rng) for k in range(len(images))]
    noise = torch.rand(images.shape, generator=rng)
    return {"photographs": torch.stack(crops), "inverted colours": 1 - images, "white noise": noise}


def sensitivity_at(score: Array, positive: Array, specificity: float) -> float:
    """Share of the positives above the threshold that this share of the negatives stays below; NaN without either."""
    if positive.all() or not positive.any():
        return float("nan")
    threshold = np.quantile(score[~positive], specificity)
    return float((score[positive] > threshold).mean())


def calibration_error(probabilities: Float[Tensor, "n k"], labels: Int[Tensor, " n"], bins: int = 15) -> float:
    """Expected calibration error, mean |accuracy - confidence| over equal-width bins (Guo et al. 2017, equation 3)."""
    confidence, predicted = probabilities.max(1)
    index = (confidence * bins).long().clamp_max(bins - 1)
    gaps = torch.bincount(index, (predicted == labels).double() - confidence)
    return float(gaps.abs().sum()) / len(labels)


def _classifier_quality(logits: Tensor, labels: Tensor, network: LesionClassifier) -> dict[str, float]:
    """Over all classes, by class, and sensitivities of the malignant class at given specificities."""
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
    for name in [c for c in ("mel", "melanoma", "malignant") if c in network.classes][:1]:
        index = network.classes.index(name)
        for s in (0.90, 0.95):
            quality[f"sensitivity_{name}_at_specificity_{s:.2f}"] = sensitivity_at(p[:, index], y == index, s)
    return quality


def _agreement(estimated: Tensor, true: Tensor) -> dict[str, float]:
    """Spearman, Kendall tau-b and the share of pairs in the right order; of a constant, that of a random order."""
    from scipy.stats import kendalltau, spearmanr

    e, t = estimated.numpy(), true.numpy()
    if np.ptp(e) == 0 or np.ptp(t) == 0:
        return {"spearman": 0.0, "kendall": 0.0, "ranking_accuracy": 0.5}
    i, j = np.triu_indices(len(e), 1)
    ordered = (np.sign(e[i] - e[j]) == np.sign(t[i] - t[j]))[t[i] != t[j]]
    return {
        "spearman": float(spearmanr(e, t).statistic),
        "kendall": float(kendalltau(e, t).statistic),
        "ranking_accuracy": float(ordered.mean()),
    }


def _misclassification(logits: Tensor, estimated: Tensor, labels: Tensor) -> dict[str, Any]:
    from scipy.stats import rankdata

    scores = _scores(logits, estimated)
    scores["combined"] = (rankdata(scores["estimator"]) + rankdata(scores["max_softmax"])) / 2
    wrong = (logits.argmax(1) != labels).numpy()
    result: dict[str, Any] = {"errors": int(wrong.sum())}
    if wrong.all() or not wrong.any():
        return result
    result |= _aurocs(wrong, scores)
    rng = np.random.default_rng(0)
    draws = (rng.integers(len(wrong), size=len(wrong)) for _ in range(1000))
    names = ("estimator", "combined", "max_softmax")
    valid = (d for d in draws if 0 < wrong[d].sum() < len(wrong))
    resampled = [_aurocs(wrong[d], {name: scores[name][d] for name in names}) for d in valid]
    for name in names[:2]:
        gains = [aurocs[name] - aurocs["max_softmax"] for aurocs in resampled]
        result[f"{name}_minus_max_softmax"] = result[name] - result["max_softmax"]
        result[f"{name}_minus_max_softmax_interval"] = np.quantile(gains, (0.025, 0.975)).tolist()
    return result


def _aurocs(positive: Array, scores: Mapping[str, Array]) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    return {name: float(roc_auc_score(positive, score)) for name, score in scores.items()}


def _scores(logits: Tensor, estimated: Tensor) -> dict[str, Array]:
    """Three uncertainty scores, high where a prediction should not be trusted."""
    p = logits.softmax(1)
    entropy = -(p * p.clamp_min(1e-12).log()).sum(1)
    return {"estimator": estimated.numpy(), "max_softmax": -p.max(1).values.numpy(), "entropy": entropy.numpy()}


def _out_of_distribution(
    network: LesionClassifier, lesions: Mapping[str, Array], strangers: Mapping[str, Images]
) -> dict[str, dict[str, float]]:
    result: dict[str, dict[str, float]] = {}
    for kind, images in strangers.items():
        logits, estimated, _ = predict_all(network, ((part, torch.zeros(len(part))) for part in images.split(64)))
        others = _scores(logits, estimated)
        truth = np.repeat([0, 1], [len(lesions["estimator"]), len(images)])
        result[kind] = _aurocs(truth, {name: np.r_[lesions[name], others[name]] for name in lesions})
    if result:
        result["mean"] = {name: float(np.mean([r[name] for r in result.values()])) for name in lesions}
    return result


def _reliability(estimated: Tensor, true: Tensor, wrong: Tensor, bins: int = 10) -> dict[str, list[float]]:
    parts = [p for p in estimated.argsort().chunk(bins) if len(p)]
    return {
        "estimated": [float(estimated[p].mean()) for p in parts],
        "true_loss": [float(true[p].mean()) for p in parts],
        "error_rate": [float(wrong[p].float().mean()) for p in parts],
    }


def _random_crop(photo: Tensor, size: int, rng: torch.Generator) -> Tensor:
    shorter = min(photo.shape[-2:])
    side = int(torch.randint(shorter // 3, shorter + 1, (), generator=rng))
    top = int(torch.randint(photo.shape[-2] - side + 1, (), generator=rng))
    left = int(torch.randint(photo.shape[-1] - side + 1, (), generator=rng))
    return resize(photo[None, :, top : top + side, left : left + side], size)[0].clamp(0, 1)
