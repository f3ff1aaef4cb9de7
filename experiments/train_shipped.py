"""Train the classifiers that ship with the package, judge them on their test splits, and write their model cards.

    python experiments/train_shipped.py synthetic            2 minutes on 2 cores
    python experiments/train_shipped.py ham10000 --weights mobilenet_v2.safetensors     60 minutes
    python experiments/train_shipped.py isic2017 --weights mobilenet_v2.safetensors     10 minutes
    python experiments/train_shipped.py witness               15 minutes

The data folder holds the sets as `CFEXPLAIN_DATA/isic/...`; an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from shared import DATA, ROOT, RUNS, command, ham10000, markdown

from cfexplain.images import to_uint8
from cfexplain_classifiers import Card, Recipe, checkpoint, judge, load, train
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_classifiers.hardening import off_distribution
from cfexplain_classifiers.judgement import Judgement, strangers_from
from cfexplain_datasets import open_dataset
from cfexplain_datasets.augment import Augmentation, training_augmentation
from cfexplain_datasets.splits import without_leaks
from cfexplain_datasets.synthetic import SyntheticLesions

SHIPPED = ROOT / "classifiers" / "cfexplain_classifiers" / "shipped"
NON_COMMERCIAL = "CC BY-NC 4.0 (weights learned from HAM10000): non-commercial research only, not for clinical use"
FREE = "CC0 1.0 data, Apache-2.0 starting weights; released under Apache-2.0; not for clinical use"


@dataclass(frozen=True)
class Shipment:
    """A shipped classifier: how it is trained, from what, under which terms."""

    recipe: Recipe
    data: str
    licence: str
    use: str
    limits: str = "the images are mostly of light skin, from few clinics"


SHIPMENTS = {
    "synthetic": Shipment(
        Recipe("lcnet_075", image_size=64, epochs=16, learning_rate=2e-3, balance=0.0, dropout=0.1),
        "8,000 synthetic dermoscopic lesions (cfexplain_datasets.synthetic), seed 0",
        "CC0 1.0: drawn by this project",
        "The embedded default for demonstrations and tests: benign or malignant by the documented rule of the factors.",
        "drawn pictures, not lesions",
    ),
    "ham10000": Shipment(
        Recipe(
            "mobilenetv2_100",
            image_size=128,
            epochs=26,
            learning_rate=6e-4,
            balance=0.6,
            patience=26,
            bfloat16=True,
            averaging=0.998,
        ),
        "HAM10000 training split (lesion-grouped, without copies of validation and test images) at 200x150, "
        "with the 224x224 crops of the same images where there are some",
        NON_COMMERCIAL,
        "Seven diagnoses of dermoscopic images.",
    ),
    "isic2017": Shipment(
        Recipe("mobilenetv2_100", image_size=128, epochs=14, learning_rate=5e-4, balance=0.6),
        "ISIC 2017 training split at 256x256, without copies of validation and test images",
        FREE,
        "Melanoma, nevus or seborrhoeic keratosis, for those who cannot use non-commercial weights.",
    ),
    "witness": Shipment(
        Recipe("mobilenetv3_small_100", image_size=128, epochs=24, learning_rate=2e-3, balance=0.5, seed=17),
        "HAM10000 training split (lesion-grouped, without copies of validation and test images), from scratch, another architecture and seed than ham10000",
        NON_COMMERCIAL,
        "An independent second opinion on counterfactuals of `ham10000`; never optimise against it.",
    ),
}


class InMemory:
    """Samples read once and kept as bytes."""

    def __init__(self, samples: Any) -> None:
        self.classes: Sequence[str] = samples.classes
        kept = [(to_uint8(s.image), s.label) for s in samples]
        self.pictures, self.labels = [p for p, _ in kept], [-1 if y is None else int(y) for _, y in kept]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        picture = torch.from_numpy(self.pictures[index]).permute(2, 0, 1).float() / 255
        return Kept(picture, self.labels[index])


@dataclass(frozen=True)
class Kept:
    """A sample in memory."""

    image: torch.Tensor
    label: int


def sets(name: str) -> tuple[Any, Any, Any]:
    """Training, validation and test samples of a shipment."""
    if name == "synthetic":
        return tuple(  # type: ignore[return-value]
            InMemory(SyntheticLesions(n, 64, 0, split)) for split, n in (("train", 8000), ("val", 1500), ("test", 1500))
        )
    if name == "isic2017":
        whole = without_leaks(open_dataset("isic2017", DATA / "isic" / "isic2017_256"))
        print(whole.report, flush=True)
        return tuple(InMemory(whole.subset(split)) for split in ("train", "val", "test"))  # type: ignore[return-value]
    whole = without_leaks(ham10000())
    print(whole.report, flush=True)
    train_set = InMemory(whole.subset("train"))
    if name == "ham10000":
        crops = open_dataset("ham10000", DATA / "isic" / "isic2018_224crop_subset").subset("train")
        kept = set(whole.table.index[whole.table["split"] == "train"])
        sharper = InMemory(crops.select([i for i in crops.table.index if i in kept]))
        train_set.pictures += sharper.pictures
        train_set.labels += sharper.labels
    return train_set, InMemory(whole.subset("val")), InMemory(whole.subset("test"))


def augmentation(name: str, size: int) -> Any:
    """The training augmentation; synthetic lesions keep their size and most of their colour, which are causes."""
    if name == "synthetic":
        return Augmentation(size, scale=(0.93, 1.07), stretch=1.0, shift=0.06, colour=0.5, degrade=0.15)
    return training_augmentation(size)


def measure(path: Path, test: Any) -> Judgement:
    """Judge a checkpoint on its test split, with images that are no lesions."""
    network = load(path)
    batches = list(evaluation_batches(test, network.image_size))
    some = torch.cat([images for images, _ in batches])[:: max(1, len(test) // 300)][:300]
    return judge(network, batches, strangers=strangers_from(some))


def card_text(name: str, shipment: Shipment, judgement: Judgement) -> str:
    """The model card as Markdown, its numbers taken from the judgement."""
    c, e, m = judgement.classifier, judgement.estimator, judgement.misclassification
    rows = [
        ("balanced accuracy", c["balanced_accuracy"]),
        ("macro AUROC", c["macro_auroc"]),
        ("accuracy", c["accuracy"]),
        ("calibration error (15 bins) before, after temperature", (c["ece_before_temperature"], c["ece"])),
        ("estimator: Spearman with the true loss", e["spearman"]),
        ("estimator: ranking accuracy", e["ranking_accuracy"]),
        ("misclassification AUROC: estimator", m["estimator"]),
        ("misclassification AUROC: max-softmax", m["max_softmax"]),
        ("misclassification AUROC: both combined", m["combined"]),
        ("estimator minus max-softmax, 95 % interval", tuple(m["estimator_minus_max_softmax_interval"])),
    ]
    rows += [(k.replace("_", " "), v) for k, v in c.items() if k.startswith(("recall", "sensitivity"))]
    for kind, o in judgement.out_of_distribution.items():
        both = (o["estimator"], o["max_softmax"])
        rows.append((f"out-of-distribution AUROC, {kind}: estimator, max-softmax", both))
    shown = [(k, ", ".join(f"{x:.3f}" for x in (v if isinstance(v, tuple) else (v,)))) for k, v in rows]
    return f"""# `{name}`

{shipment.use}

- Data: {shipment.data}.
- Licence: {shipment.licence}.
- Network: timm `{shipment.recipe.backbone}`, {shipment.recipe.image_size} pixels, a loss estimator.
- Limits: research use; not a medical device; {shipment.limits}.
- Made by `experiments/train_shipped.py {name}`; measured on its test split, {judgement.n} images:

{markdown(["measure", "value"], shown)}"""


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("name", choices=SHIPMENTS)
    parser.add_argument("--weights", type=Path, help="ImageNet weights of the backbone")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder for runs under way")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    shipment = SHIPMENTS[args.name]
    training, validation, test = sets(args.name)
    path = train(
        shipment.recipe, training, validation, args.runs / args.name, labels=training.labels, hardening=off_distribution,
        augment=augmentation(args.name, shipment.recipe.image_size), weights=args.weights, device=args.device,
        progress=lambda line: print(line, flush=True),
    )  # fmt: skip
    ship(args.name, shipment, path, test)


def ship(name: str, shipment: Shipment, path: Path, test: Any) -> None:
    """Store the weights in half precision, judge what was stored, and write card and metrics beside it."""
    SHIPPED.mkdir(exist_ok=True)
    recipe = json.loads((path.parent / "recipe.json").read_text())
    stored = checkpoint.save(load(path), SHIPPED / name, half=True)
    judgement = measure(stored, test)
    card = Card(shipment.data, shipment.licence, judgement.to_dict(), recipe)
    checkpoint.save(load(stored), stored, card, half=True)
    stored.with_suffix(".md").write_text(card_text(name, shipment, judgement))
    print(json.dumps(judgement.to_dict(), indent=1))


if __name__ == "__main__":
    main()
