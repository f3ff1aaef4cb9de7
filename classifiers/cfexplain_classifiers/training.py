"""Joint training of a classifier and its loss estimator; an interrupted run resumes to the same result."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from cfexplain_classifiers import batches, checkpoint
from cfexplain_classifiers.calibrate import calibrate, equalise_priors, predict_all
from cfexplain_classifiers.estimator import ranking_loss
from cfexplain_classifiers.hardening import Hardening, attack, disturbed, true_loss
from cfexplain_classifiers.network import Architecture, LesionClassifier, load_backbone
from cfexplain_classifiers.run import BEST, RESULT, STATE, Run, claim

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training.

    Attributes:
        backbone: name of a timm model.
        image_size: pixels per side.
        epochs: at most; an epoch has as many draws as there are training samples.
        batch_size: images per step.
        learning_rate: peak of the one-cycle schedule (AdamW).
        weight_decay: on weight matrices and kernels.
        balance: 0 draws classes at their natural frequencies, 1 equally often (see `balanced_order`).
        ranking_weight: weight of the estimator's ranking loss relative to the cross entropy.
        detach_after: fraction of the epochs after which the ranking loss no longer trains the backbone.
        patience: epochs without a better validation score after which training stops.
        dropout: rate before the last layer.
        seed: of weights, order and augmentation.
        workers: processes that read images.
        bfloat16: mixed precision; None uses it on a GPU only.
        averaging: decay of the moving average of the weights that is validated and saved; 0 is none.
        adversarial: radius (intensity, such as 2 / 255) of the attack on every training image; 0 is none.
        disturbed: radius of the attack on images that only the detached estimator sees, with corrupted ones; 0 is none.

    Source: ranking loss, its weight and detaching after 60 % of the epochs: Yoo and Kweon 2019; averaging: Polyak and
    Juditsky 1992, as in timm; attack: Wong et al. 2020 (see `hardening`); optimiser, schedule and balance are ours.
    """

    backbone: str = "mobilenetv2_100"
    image_size: int = 128
    epochs: int = 16
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    balance: float = 0.5
    ranking_weight: float = 1.0
    detach_after: float = 0.6
    patience: int = 8
    dropout: float = 0.2
    seed: int = 0
    workers: int = 1
    bfloat16: bool | None = None
    averaging: float = 0.0
    adversarial: float = 0.0
    disturbed: float = 0.0


def train(
    recipe: Recipe,
    train_samples: batches.Samples,
    val_samples: batches.Samples,
    out: str | Path,
    *,
    labels: Sequence[int],
    augment: batches.Augment | None = None,
    hardening: Hardening | None = None,
    weights: str | Path | None = None,
    pretrained: bool = False,
    device: str | torch.device = "cpu",
    card: checkpoint.Card | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Train a classifier jointly with its loss estimator, and return the path of the checkpoint.

    Minimises mean cross entropy + `ranking_weight` * ranking loss of the unweighted cross entropies. After
    `detach_after` of the epochs the tapped features are detached, and the estimator also ranks out-of-distribution
    images (`hardening`) and disturbed ones. Of these last epochs the one with the highest balanced accuracy on the
    validation images is saved, its class priors are equalised, and it is calibrated.

    Args:
        recipe: hyperparameters.
        train_samples: see `batches.Samples`.
        val_samples: the same, never trained on.
        out: folder of the run; an interrupted run in it is resumed to the same result.
        labels: the training labels in the order of the samples, -1 where unknown.
        augment: (image, seed) -> square; None trains on the plain squares.
        hardening: makes out-of-distribution images for the estimator.
        weights: local ImageNet weights of the backbone.
        pretrained: download timm's pretrained weights instead.
        device: to train on.
        card: data and licence to write into the checkpoint.
        progress: called with one line per epoch.

    Raises:
        ValueError: `out` holds a run with another recipe or other data, the classes of the two sets differ, there is
            not one label per sample, or there are too few samples.
    """
    _check(train_samples, val_samples, labels)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    claim(out / "recipe.json", asdict(recipe), asdict(Recipe()), "settings")
    digest = hashlib.sha256(repr(list(map(int, labels))).encode()).hexdigest()[:16]
    data = {"classes": list(train_samples.classes), "samples": len(labels), "labels": digest}
    claim(out / "data.json", data, {}, "data")
    run = _start(recipe, train_samples, weights, pretrained, device)
    if (out / STATE).exists():
        run.resume(out / STATE)
    validation = batches.evaluation_batches(val_samples, recipe.image_size, recipe.workers)
    while run.epoch < recipe.epochs and run.stale < recipe.patience:
        started, detached = time.perf_counter(), run.epoch >= recipe.detach_after * recipe.epochs
        squares = batches.Squares(train_samples, recipe.image_size, augment, seed=recipe.seed, epoch=run.epoch)
        order = batches.balanced_order(labels, recipe.balance, recipe.seed, run.epoch)
        shuffled = batches.training_batches(squares, order, recipe.batch_size, recipe.workers)
        row = {"epoch": run.epoch, **_train_epoch(run, recipe, shuffled, detached, hardening)}
        row |= {**_validate(run.average, validation), "seconds": round(time.perf_counter() - started, 1)}
        run.end_epoch(out, row, eligible=detached or run.epoch + 1 == recipe.epochs)
        if progress:
            progress("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    network = checkpoint.load(out / BEST).to(device)
    counts = torch.bincount(torch.tensor([y for y in labels if y >= 0]), minlength=len(train_samples.classes))
    equalise_priors(network, counts, recipe.balance)
    calibrate(network, validation)
    card = card or checkpoint.Card()
    return checkpoint.save(network, out / RESULT, replace(card, recipe=asdict(recipe) | card.recipe))


def one_cycle(done: float, warm: float = 0.15) -> float:
    """Learning rate relative to its peak: linear warm-up over the fraction `warm` of the steps, then half a cosine.

    Example:
        >>> [round(one_cycle(t), 3) for t in (0.0, 0.15, 1.0)]
        [0.02, 1.0, 0.0]
    """
    cosine = 0.5 + 0.5 * math.cos(math.pi * (done - warm) / (1 - warm))
    return 0.02 + 0.98 * done / warm if done < warm else cosine


def _check(train_samples: batches.Samples, val_samples: batches.Samples, labels: Sequence[int]) -> None:
    if list(train_samples.classes) != list(val_samples.classes):
        raise ValueError(
            f"training classes {train_samples.classes} differ from validation classes {val_samples.classes}"
        )
    if len(labels) != len(train_samples):
        raise ValueError(f"there are {len(labels)} labels of {len(train_samples)} training samples: give one of each")
    if len(val_samples) < 2:
        raise ValueError(f"there are {len(val_samples)} validation images: give two at least, better hundreds")


def _start(
    recipe: Recipe, samples: batches.Samples, weights: str | Path | None, pretrained: bool, device: str | torch.device
) -> Run:
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        architecture = Architecture(recipe.backbone, tuple(samples.classes), recipe.image_size, recipe.dropout)
        network = LesionClassifier(architecture, pretrained=pretrained)
    if weights is not None:
        load_backbone(network.backbone, weights)
    network.to(device).to(memory_format=torch.channels_last)
    steps = recipe.epochs * (len(samples) // recipe.batch_size)
    if steps == 0:
        raise ValueError(f"{len(samples)} training samples do not fill one batch of {recipe.batch_size}")
    groups = [  # biases and batch norm do not decay
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging), use_buffers=True)
    return Run(network, averaged, torch.optim.AdamW(groups, lr=recipe.learning_rate), steps)


def _train_epoch(
    run: Run, recipe: Recipe, shuffled: Batches, detached: bool, hardening: Hardening | None
) -> dict[str, float]:
    device = next(run.network.parameters()).device
    rng = torch.Generator().manual_seed(recipe.seed * 7919 + run.epoch)
    sums, count = torch.zeros(3), 0
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed * 104_729 + run.epoch)
        run.network.train()
        for images, labels in batches.labelled(tqdm(shuffled, f"epoch {run.epoch}", leave=False, disable=None)):
            images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
            extra = _extra_images(run.network, recipe, images, labels, hardening, rng) if detached else []
            if recipe.adversarial:
                with _precision(recipe, device):
                    images = attack(run.network, images, labels, recipe.adversarial, rng)
            sums += _train_step(run, recipe, images, labels, extra, detached) * len(images)
            count += len(images)
    return dict(zip(("cross_entropy", "ranking", "accuracy"), (sums / max(count, 1)).tolist(), strict=True))


def _extra_images(
    network: LesionClassifier,
    recipe: Recipe,
    images: Tensor,
    labels: Tensor,
    hardening: Hardening | None,
    rng: torch.Generator,
) -> list[tuple[Tensor, Tensor]]:
    """Images for the estimator only, made from a quarter of a batch, and their labels: -1 out of distribution."""
    images, labels = (part[: max(1, len(images) // 4)] for part in (images, labels))
    extra = []
    if hardening is not None:
        outside = hardening(images.cpu(), rng).to(images)
        extra.append((outside, labels.new_full((len(outside),), -1)))
    if recipe.disturbed:
        extra.append(disturbed(network, images, labels, recipe.disturbed, rng))
    return extra


def _train_step(
    run: Run, recipe: Recipe, images: Tensor, labels: Tensor, extra: Sequence[tuple[Tensor, Tensor]], detached: bool
) -> Tensor:
    """One step of the optimiser; returns cross entropy, ranking loss and accuracy."""
    with _precision(recipe, images.device):
        logits, features = run.network.taps(images)
    true = F.cross_entropy(logits.float(), labels, reduction="none")
    estimated, target = run.network.estimator([(f.detach() if detached else f).float() for f in features]), true
    if extra:
        others = _estimate(run.network, *map(torch.cat, zip(*extra, strict=True)))
        estimated, target = torch.cat([estimated, others[0]]), torch.cat([true, others[1]])
    ranking = ranking_loss(estimated, target)
    run.optimizer.zero_grad(set_to_none=True)
    (true.mean() + recipe.ranking_weight * ranking).backward()
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.learning_rate * one_cycle(run.step / run.steps)
    run.optimizer.step()
    run.averaged.update_parameters(run.network)
    run.step += 1
    accuracy = (logits.argmax(1) == labels).float().mean()
    return torch.stack([true.mean().detach(), ranking.detach(), accuracy]).cpu()


def _estimate(network: LesionClassifier, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Estimates (with a gradient for the estimator only) and true losses, with batch norm in evaluation mode."""
    network.backbone.eval()
    with torch.no_grad():
        logits, features = network.taps(images)
    network.backbone.train()
    return network.estimator([f.float() for f in features]), true_loss(logits.float(), labels)


def _precision(recipe: Recipe, device: torch.device) -> torch.autocast:
    mixed = device.type == "cuda" if recipe.bfloat16 is None else recipe.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=mixed)


def _validate(network: LesionClassifier, validation: Batches) -> dict[str, float]:
    from sklearn.metrics import balanced_accuracy_score

    logits, _, labels = predict_all(network.eval(), validation)
    score = float(balanced_accuracy_score(labels, logits.argmax(1)))
    return {"val_cross_entropy": float(F.cross_entropy(logits, labels)), "val_balanced_accuracy": score}
