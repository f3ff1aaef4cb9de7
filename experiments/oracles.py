"""Train the independent classifiers that only report: they are never optimised, and no setting is chosen by them.

    python experiments/oracles.py grey            half an hour on one core
    python experiments/oracles.py isic2017        ten minutes
    python experiments/oracles.py transformer     half an hour

The first two are SqueezeNets 1.1 from ImageNet weights, where the classifiers that are explained are MobileNets; they share
with those no code but the reading and augmenting of images. `grey` sees HAM10000 in grey, with brightness and
contrast varied far, so that it can share no shortcut of colour; `isic2017` sees other images from other clinics and
knows three classes. `transformer` is a LeViT (Graham et al. 2021) that learns HAM10000 from scratch. Each averages its probabilities over the eight turns and mirrors of an image.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from shared import DATA, command, write_json
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score
from timm.models.levit import Levit
from torch import Tensor, nn
from torchvision.models import squeezenet1_1
from train_shipped import InMemory, sets

from cfexplain import Prediction
from cfexplain_classifiers.batches import Squares, balanced_order, evaluation_batches, training_batches
from cfexplain_classifiers.training import one_cycle
from cfexplain_datasets.augment import training_augmentation

FOLDER = Path(__file__).resolve().parent / "oracles"
SIZE, BATCH, PEAK, DECAY, AVERAGING = 128, 64, 4e-4, 1e-2, 0.995
EPOCHS, SEEDS = {"grey": 24, "isic2017": 30, "transformer": 50}, {"grey": 41, "isic2017": 43, "transformer": 47}
BALANCE = 0.5
MEAN, SPREAD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
AUGMENT = training_augmentation(SIZE)


class Oracle(nn.Module):
    """A network with as many outputs as there are classes, asked over eight turns and mirrors."""

    def __init__(self, classes: tuple[str, ...], name: str) -> None:
        super().__init__()
        self.classes, self.image_size, self.grey = classes, SIZE, name == "grey"
        self.network: nn.Module = squeezenet1_1(weights=None, num_classes=len(classes))
        if name == "transformer":
            self.network = Levit(
                SIZE,
                num_classes=len(classes),
                embed_dim=(96, 144, 192),
                num_heads=(3, 4, 6),
                depth=(2, 3, 3),
                key_dim=16,
            )
        self.register_buffer("offset", torch.zeros(len(classes)))

    def logits(self, images: Tensor) -> Tensor:
        """Of each image as it is, before the offset that gives the classes equal priors."""
        if self.grey:
            images = images.mean(1, keepdim=True).expand_as(images)
        scaled = (images - MEAN.view(3, 1, 1)) / SPREAD.view(3, 1, 1)
        found: Tensor = self.network(scaled.contiguous(memory_format=torch.channels_last))
        return found

    def forward(self, images: Tensor) -> Prediction:
        """Log of the mean probability over eight turns and mirrors."""
        turned = [images.rot90(k, (2, 3)) for k in range(4)]
        asked = torch.cat([*turned, *(t.flip(3) for t in turned)])
        each = (self.logits(asked).float() + self.offset).log_softmax(1)
        return Prediction(each.view(8, len(images), -1).logsumexp(0) - np.log(8))


def load_oracle(name: str) -> Oracle:
    """A trained oracle.

    Raises:
        FileNotFoundError: it was not trained.
    """
    with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as file:
        oracle = Oracle(tuple(json.loads(file.metadata()["classes"])), name)
        oracle.load_state_dict({k: file.get_tensor(k).float() for k in file.keys()})  # noqa: SIM118
    return oracle.eval().requires_grad_(False)


def store(oracle: Oracle, path: Path) -> None:
    """In half precision."""
    state = {k: v.half().contiguous() for k, v in oracle.state_dict().items()}
    save_file(state, path, {"classes": json.dumps(oracle.classes)})


def varied(picture: np.ndarray, seed: int) -> np.ndarray:
    """The training augmentation in grey, with brightness and contrast far beyond it."""
    rng = np.random.default_rng(seed)
    seen = AUGMENT(picture, seed).astype(np.float32).mean(2, keepdims=True)
    contrast, brightness = rng.uniform(0.6, 1.5), rng.uniform(-40, 40)
    seen = (seen - seen.mean()) * contrast + seen.mean() + brightness
    return seen.clip(0, 255).astype(np.uint8).repeat(3, 2)


def start(classes: tuple[str, ...], name: str) -> Oracle:
    """A SqueezeNet from ImageNet weights, the last layer new; a transformer from scratch."""
    oracle = Oracle(classes, name)
    if name == "transformer":
        return oracle
    weights = load_file(DATA / "weights" / "squeezenet1_1_torchvision_imagenet_fp16.safetensors")
    body = {k: v.float() for k, v in weights.items() if not k.startswith("classifier")}
    missing = oracle.network.load_state_dict(body, strict=False).missing_keys
    assert all(k.startswith("classifier") for k in missing)
    return oracle


def fit(name: str, training: InMemory, validation: InMemory) -> Oracle:
    """Train for a fixed number of epochs; the average of the last steps is kept, whatever validation says."""
    torch.manual_seed(SEEDS[name])
    oracle = start(tuple(training.classes), name).train()
    augment = varied if name == "grey" else AUGMENT
    parameters = list(oracle.network.parameters())
    averages = [p.detach().clone() for p in parameters]
    peak = 2.5 * PEAK if name == "transformer" else PEAK
    optimiser = torch.optim.AdamW(parameters, peak, weight_decay=DECAY)
    step, steps = 0, EPOCHS[name] * (len(training) // BATCH)
    for epoch in range(EPOCHS[name]):
        squares = Squares(training, SIZE, augment, seed=SEEDS[name], epoch=epoch)
        order = balanced_order(training.labels, BALANCE, SEEDS[name], epoch)
        began, costs = time.perf_counter(), []
        for images, labels in training_batches(squares, order, BATCH, 0):
            optimiser.param_groups[0]["lr"] = peak * one_cycle(step / steps)
            with torch.autocast("cpu", torch.bfloat16):
                logits = oracle.logits(images)
            cost = F.cross_entropy(logits.float(), labels)
            optimiser.zero_grad()
            cost.backward()
            optimiser.step()
            step += 1
            kept = min(AVERAGING, step / (step + 10))
            torch._foreach_lerp_(averages, [p.detach() for p in parameters], 1 - kept)
            costs.append(float(cost.detach()))
        facts = {"epoch": epoch, "cross_entropy": float(np.mean(costs)), "seconds": time.perf_counter() - began}
        print({k: round(v, 3) for k, v in facts.items()}, flush=True)
    with torch.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)
        for images, _ in training_batches(squares, order, BATCH, 0):
            oracle.logits(images)  # statistics of batch normalisation under the averaged weights
    oracle.offset.copy_(equal_priors(training.labels))
    print("validation", measured(oracle.eval(), validation))
    return oracle


def equal_priors(labels: list[int]) -> Tensor:
    """Minus the logarithm of the share in which each class was drawn."""
    counts = torch.bincount(torch.tensor([y for y in labels if y >= 0])).float()
    drawn = counts ** (1 - BALANCE)
    return -(drawn / drawn.sum()).log()


def measured(oracle: Oracle, samples: InMemory) -> dict[str, Any]:
    """Balanced accuracy, macro AUROC and recalls."""
    with torch.no_grad():
        parts = [(oracle(images).logits, labels) for images, labels in evaluation_batches(samples, SIZE)]
    logits, labels = (torch.cat([p[k] for p in parts]) for k in (0, 1))
    recalls = recall_score(labels, logits.argmax(1), average=None)
    return {
        "n": len(labels),
        "balanced_accuracy": round(float(balanced_accuracy_score(labels, logits.argmax(1))), 3),
        "macro_auroc": round(float(roc_auc_score(labels, logits.softmax(1), multi_class="ovr")), 3),
        "recall": {c: round(float(r), 3) for c, r in zip(samples.classes, recalls, strict=True)},
    }


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("name", choices=EPOCHS)
    name = parser.parse_args().name
    training, validation, test = sets("isic2017" if name == "isic2017" else "witness")
    store(fit(name, training, validation), FOLDER / f"{name}.safetensors")
    facts = measured(load_oracle(name), test)
    write_json(FOLDER / f"{name}.json", facts)
    print("test", facts)


if __name__ == "__main__":
    main()
