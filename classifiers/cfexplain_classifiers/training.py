"""Joint training of classifier and loss estimator, resumable to the same result."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from cfexplain.images import write_whole
from cfexplain_classifiers import checkpoint
from cfexplain_classifiers.attack import attack
from cfexplain_classifiers.batches import (
    Augment,
    BalancedOrder,
    Samples,
    Squares,
    evaluation_batches,
    known,
    training_batches,
)
from cfexplain_classifiers.calibrate import calibrate, equalise_priors, predict_all
from cfexplain_classifiers.estimator import Pairs, ranking_loss
from cfexplain_classifiers.hardening import Hardening, disturbed, true_loss
from cfexplain_classifiers.network import Architecture, LesionClassifier
from cfexplain_classifiers.weights import load_backbone

Labelled = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        backbone: name of a timm model.
        image_size: pixels a side.
        epochs: at most; an epoch is as many draws as there are training samples.
        batch_size: images a step.
        learning_rate: peak of the one-cycle schedule (AdamW).
        weight_decay: of AdamW, on matrices and kernels.
        balance: 0 draws classes as they come, 1 equally often (see `BalancedOrder`).
        ranking_weight: weight of the estimator's ranking loss beside the cross entropy.
        margin: of the ranking loss.
        pairs: which pairs of a batch are ranked.
        detach_after: share of the epochs after which the ranking no longer shapes the backbone.
        patience: epochs without a better validation score after which training stops.
        dropout: share of the last features dropped.
        seed: of weights, order and augmentation.
        workers: processes that read images.
        channels_last: memory layout.
        bfloat16: mixed precision; None uses it on a GPU only.
        averaging: the network that is validated and kept is an exponential average of the steps with this
            decay (0 keeps the last step's weights).
        adversarial: the network is shown every training image after one step of attack within this distance
            (intensity, such as 2 / 255); 0 shows the images as they are.
        disturbed: the estimator also ranks lesions that are corrupted, and attacked within this distance,
            by their true losses (see `disturbed`), once detached; 0 shows it neither.

    Source: ranking loss, margin, weight and the detaching at 60 % of the epochs after Yoo and Kweon 2019;
    optimiser, schedule and balance are ours; averaging after Polyak and Juditsky 1992, as timm does it;
    the attack after Wong et al. 2020 (see `attack`).
    """

    backbone: str = "mobilenetv2_100"
    image_size: int = 128
    epochs: int = 16
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    balance: float = 0.5
    ranking_weight: float = 1.0
    margin: float = 1.0
    pairs: Pairs = "all"
    detach_after: float = 0.6
    patience: int = 8
    dropout: float = 0.2
    seed: int = 0
    workers: int = 1
    channels_last: bool = True
    bfloat16: bool | None = None
    averaging: float = 0.0
    adversarial: float = 0.0
    disturbed: float = 0.0


@dataclass
class Run:
    """A training run under way: what a restart needs to go on as if nothing had happened."""

    network: LesionClassifier
    averaged: AveragedModel
    optimizer: torch.optim.AdamW
    steps: int
    step: int = 0
    epoch: int = 0
    best: float = float("-inf")
    stale: int = 0


def train(
    recipe: Recipe,
    train_samples: Samples,
    val_samples: Samples,
    out: str | Path,
    *,
    labels: Sequence[int],
    augment: Augment | None = None,
    hardening: Hardening | None = None,
    weights: str | Path | None = None,
    pretrained: bool = False,
    device: str | torch.device = "cpu",
    card: checkpoint.Card | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Train a classifier and its loss estimator together, and return the checkpoint's path.

    Minimises mean cross entropy + `ranking_weight` * ranking loss, whose target is the unweighted cross
    entropy of the very images the estimator saw, attacked ones included. After `detach_after` of the epochs
    the tapped features are detached and the estimator also ranks images that are no lesions (`hardening`) and
    disturbed ones (`Recipe.disturbed`). Of these last epochs the one with the best validation score (balanced
    accuracy) is kept, then calibrated.

    Args:
        recipe: how to train.
        train_samples: with `classes`, length and items that have `image` and `label`.
        val_samples: the same, never trained on.
        out: folder of the run; an interrupted run in it goes on where it stopped, to the same result.
        labels: the training labels, -1 where unknown, in the order of the samples.
        augment: (picture, seed) -> square; None trains on the plain squares.
        hardening: makes images off the data's distribution for the estimator.
        weights: local ImageNet weights of the backbone.
        pretrained: use timm's own download instead.
        device: where to train.
        card: data and licence to write into the checkpoint.
        progress: called with one line an epoch.

    Raises:
        ValueError: `out` holds a run with another recipe or of other data, the classes of the two sets differ, or
            there is not one label for each sample.
    """
    if list(train_samples.classes) != list(val_samples.classes):
        raise ValueError(
            f"training classes {train_samples.classes} differ from validation classes {val_samples.classes}"
        )
    if len(labels) != len(train_samples):
        raise ValueError(f"there are {len(labels)} labels of {len(train_samples)} training samples: give one of each")
    if len(val_samples) < 2:
        raise ValueError(f"there are {len(val_samples)} validation images: give two at least, better hundreds")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    _claim(out / "recipe.json", asdict(recipe), asdict(Recipe()), "with other settings", "settings")
    _claim(out / "data.json", _data(train_samples.classes, labels), {}, "on other data", "data")
    run = _start(recipe, train_samples, out, weights=weights, pretrained=pretrained, device=torch.device(device))
    squares = Squares(train_samples, recipe.image_size, augment, recipe.seed)
    order = BalancedOrder(labels, recipe.balance, recipe.seed)
    while run.epoch < recipe.epochs and run.stale < recipe.patience:
        started = time.perf_counter()
        squares.epoch = order.epoch = run.epoch
        losses = _epoch(run, recipe, training_batches(squares, order, recipe.batch_size, recipe.workers), hardening)
        score = _validate(_kept(run), val_samples, recipe)
        row = {"epoch": run.epoch, **losses, **score, "seconds": round(time.perf_counter() - started, 1)}
        _keep(run, recipe, out, row)
        if progress:
            progress("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    counts = torch.bincount(torch.tensor([y for y in labels if y >= 0]), minlength=len(train_samples.classes))
    return _finish(out, val_samples, recipe, card or checkpoint.Card(), torch.device(device), counts)


def _claim(path: Path, wanted: dict[str, Any], defaults: dict[str, Any], other: str, same: str) -> None:
    """Note what is asked of a folder, or refuse one that has learned something else; what a note lacks was default."""
    begun = any((path.parent / f"{name}.safetensors").exists() for name in ("last", "classifier"))
    if begun and path.exists() and defaults | json.loads(path.read_text()) != wanted:
        raise ValueError(f"{path.parent} holds a run {other} (see {path}): choose another folder, or the same {same}")
    write_whole(path, json.dumps(wanted, indent=2).encode())


def _data(classes: Sequence[str], labels: Sequence[int]) -> dict[str, Any]:
    """What tells one training set from another without a look at its pictures."""
    digest = hashlib.sha256(repr(list(map(int, labels))).encode()).hexdigest()[:16]
    return {"classes": list(classes), "samples": len(labels), "labels": digest}


def _start(
    recipe: Recipe, samples: Samples, out: Path, *, weights: str | Path | None, pretrained: bool, device: torch.device
) -> Run:
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        architecture = Architecture(recipe.backbone, tuple(samples.classes), recipe.image_size, dropout=recipe.dropout)
        network = LesionClassifier(architecture, pretrained=pretrained)
    if weights is not None:
        load_backbone(network.backbone, weights)
    network.to(device)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)
    steps = recipe.epochs * (len(samples) // recipe.batch_size)
    if steps == 0:
        raise ValueError(f"{len(samples)} training samples do not fill one batch of {recipe.batch_size}")
    optimizer = torch.optim.AdamW(_groups(network, recipe.weight_decay), lr=recipe.learning_rate)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging), use_buffers=True)
    run = Run(network, averaged, optimizer, steps)
    if (out / "last.safetensors").exists():
        _resume(run, out, device)
    return run


def _kept(run: Run) -> LesionClassifier:
    """The network that is validated and kept: the average of the steps."""
    network = run.averaged.module
    assert isinstance(network, LesionClassifier)
    return network


def one_cycle(done: float, warm: float = 0.15) -> float:
    """Learning rate as a share of its peak: a linear rise over the first `warm` of the steps, then half a cosine.

    Example:
        >>> [round(one_cycle(t), 3) for t in (0.0, 0.15, 1.0)]
        [0.02, 1.0, 0.0]
    """
    if done < warm:
        return 0.02 + 0.98 * done / warm
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm) / (1 - warm))


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels decay; biases and normalisation do not."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def _epoch(run: Run, recipe: Recipe, batches: Any, hardening: Hardening | None) -> dict[str, float]:
    """One pass; returns mean cross entropy, ranking loss and accuracy."""
    device = next(run.network.parameters()).device
    rng = torch.Generator().manual_seed(recipe.seed * 7919 + run.epoch)
    detached = run.epoch >= recipe.detach_after * recipe.epochs
    sums, seen = torch.zeros(3), 0
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed * 104_729 + run.epoch)
        run.network.train()
        for images, labels in tqdm(batches, f"epoch {run.epoch}", leave=False, disable=None):
            images, labels = known(images.to(device), labels.to(device))
            extra = _beside(run.network, recipe, images, labels, hardening, rng) if detached else None
            if recipe.adversarial:
                with _precision(recipe, device):
                    images = attack(run.network, images, labels, recipe.adversarial, rng)
            sums += _step(run, recipe, images, labels, extra, detached) * len(images)
            seen += len(images)
    cross_entropy, ranking, accuracy = (sums / max(seen, 1)).tolist()
    return {"cross_entropy": cross_entropy, "ranking": ranking, "accuracy": accuracy}


def _beside(
    network: LesionClassifier,
    recipe: Recipe,
    images: Tensor,
    labels: Tensor,
    hardening: Hardening | None,
    rng: torch.Generator,
) -> Labelled | None:
    """What only the estimator sees, made of the batch's first quarter (or first image); labels are -1 for no lesion."""
    count = max(1, len(images) // 4)
    images, labels = images[:count], labels[:count]
    parts: list[Labelled] = []
    if hardening is not None:
        strange = hardening(images.cpu(), rng).to(images)
        parts.append((strange, labels.new_full((len(strange),), -1)))
    if recipe.disturbed:
        parts.append(disturbed(network, images, labels, recipe.disturbed, rng))
    return (torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])) if parts else None


def _step(run: Run, recipe: Recipe, images: Tensor, labels: Tensor, extra: Labelled | None, detached: bool) -> Tensor:
    network = run.network
    with _precision(recipe, images.device):
        logits, features = network.taps(images)
    true = F.cross_entropy(logits.float(), labels, reduction="none")
    taps = tuple(f.detach().float() for f in features) if detached else tuple(f.float() for f in features)
    estimated, target = network.estimator(taps), true
    if extra is not None:
        shown, cost = _estimated(network, *extra)
        estimated, target = torch.cat([estimated, shown]), torch.cat([true, cost])
    ranking = ranking_loss(estimated, target, margin=recipe.margin, pairs=recipe.pairs)
    total = true.mean() + recipe.ranking_weight * ranking
    run.optimizer.zero_grad(set_to_none=True)
    total.backward()
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.learning_rate * one_cycle(run.step / run.steps)
    run.optimizer.step()
    run.averaged.update_parameters(run.network)
    run.step += 1
    accuracy = (logits.argmax(1) == labels).float().mean()
    return torch.stack([true.mean().detach(), ranking.detach(), accuracy]).cpu()


def _precision(recipe: Recipe, device: torch.device) -> torch.autocast:
    mixed = device.type == "cuda" if recipe.bfloat16 is None else recipe.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=mixed)


def _estimated(network: LesionClassifier, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Estimates (with gradient into the estimator only) and true losses."""
    network.backbone.eval()
    with torch.no_grad():
        logits, features = network.taps(images)
    network.backbone.train()
    return network.estimator(tuple(f.float() for f in features)), true_loss(logits.float(), labels)


def _validate(network: LesionClassifier, samples: Samples, recipe: Recipe) -> dict[str, float]:
    from sklearn.metrics import balanced_accuracy_score

    network.eval()
    logits, _, labels = predict_all(network, evaluation_batches(samples, recipe.image_size, workers=recipe.workers))
    cost = float(F.cross_entropy(logits, labels))
    return {
        "val_cross_entropy": cost,
        "val_balanced_accuracy": float(balanced_accuracy_score(labels, logits.argmax(1))),
    }


def _keep(run: Run, recipe: Recipe, out: Path, row: dict[str, Any]) -> None:
    """Log the epoch, keep the best network, and write what a restart needs, in an order that a kill cannot spoil."""
    run.epoch += 1
    eligible = row["epoch"] >= recipe.detach_after * recipe.epochs or run.epoch == recipe.epochs
    run.stale += eligible
    if eligible and row["val_balanced_accuracy"] > run.best:
        run.best, run.stale = row["val_balanced_accuracy"], 0
        checkpoint.save(_kept(run), out / "best.safetensors")
    rows = [r for r in _logged(out / "log.csv") if int(r["epoch"]) < row["epoch"]]
    lines = [",".join(row), *(",".join(str(v) for v in r.values()) for r in [*rows, row])]
    write_whole(out / "log.csv", ("\n".join(lines) + "\n").encode())
    _write_state(run, out)


def _logged(path: Path) -> Iterator[dict[str, str]]:
    if path.exists():
        with path.open(newline="") as file:
            yield from csv.DictReader(file)


def _write_state(run: Run, out: Path) -> None:
    from safetensors.torch import save as pack

    moments = run.optimizer.state_dict()["state"]
    tensors = {f"network.{k}": v.detach().cpu().contiguous() for k, v in run.network.state_dict().items()}
    tensors |= {f"averaged.{k}": v.detach().cpu().contiguous() for k, v in run.averaged.state_dict().items()}
    tensors |= {f"adam.{i}.{k}": v.detach().cpu().contiguous() for i, s in moments.items() for k, v in s.items()}
    facts = {"step": str(run.step), "epoch": str(run.epoch), "best": repr(run.best), "stale": str(run.stale)}
    write_whole(out / "last.safetensors", pack(tensors, facts))


def _resume(run: Run, out: Path, device: torch.device) -> None:
    from safetensors import safe_open

    with safe_open(out / "last.safetensors", framework="pt") as file:
        facts = file.metadata()
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    run.network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
    run.averaged.load_state_dict({k[9:]: v for k, v in tensors.items() if k.startswith("averaged.")})
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
    run.step, run.epoch = int(facts["step"]), int(facts["epoch"])
    run.best, run.stale = float(facts["best"]), int(facts["stale"])
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _finish(
    out: Path,
    val_samples: Samples,
    recipe: Recipe,
    card: checkpoint.Card,
    device: torch.device,
    counts: Tensor,
) -> Path:
    """Give the best network equal priors, calibrate it on the validation samples, write it as the run's classifier."""
    network = checkpoint.load(out / "best.safetensors").to(device)
    equalise_priors(network, counts, recipe.balance)
    calibrate(network, evaluation_batches(val_samples, recipe.image_size, workers=recipe.workers))
    card = checkpoint.Card(card.data, card.licence, card.metrics, asdict(recipe) | card.recipe)
    return checkpoint.save(network, out / "classifier.safetensors", card)
