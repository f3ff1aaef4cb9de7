"""Training and judging classifiers, checking data, and what is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from cfexplain.cli.command.explain import synthetic_lesion
from cfexplain.cli.command.lookup import device_of, load_classifier, make_folder, write_json
from cfexplain.explanation import plot
from cfexplain.search.edit import Edit
from cfexplain.search.explain import explain
from cfexplain.version import versions


def train(
    dataset: str,
    data: Path,
    out: Path,
    recipe: Mapping[str, Any],
    weights: Path | None,
    pretrained: bool,
    device: str,
    progress: Callable[[str], None],
    drop_leaks: bool = False,
) -> Path:
    """Open and check a data set, split it where it has no splits, and train on it."""
    classifiers, datasets = import_module("cfexplain_classifiers"), import_module("cfexplain_datasets")
    splits = import_module("cfexplain_datasets.splits")
    make_folder(out)
    whole = splits.with_splits(datasets.open_dataset(dataset, data)).readable()
    if len(whole.classes) < 2:
        raise ValueError(f"training needs labels of two classes or more; {data} has {len(whole.classes)}")
    if drop_leaks:
        whole = splits.without_leaks(whole)
    progress(str(whole.report))
    splits.refuse_leaks(whole)
    training, validation = whole.subset("train"), whole.subset("val")
    plan = classifiers.Recipe(**recipe)
    path: Path = classifiers.train(
        plan,
        training,
        validation,
        out,
        labels=training.labels,
        augment=import_module("cfexplain_datasets.augment").training_augmentation(plan.image_size),
        hardening=import_module("cfexplain_classifiers.hardening").off_distribution,
        weights=weights,
        pretrained=pretrained,
        device=device_of(device),
        card=classifiers.Card(data=f"{dataset} training split, {len(training)} images", licence="that of the data"),
        progress=progress,
    )
    return path


def judge(classifier: str, dataset: str, data: Path, split: str, device: str, out: Path | None) -> dict[str, Any]:
    """Judge a classifier on a split of a data set; also on images that are no lesions."""
    classifiers, batches = import_module("cfexplain_classifiers"), import_module("cfexplain_classifiers.batches")
    network = classifiers.load(classifier).to(device_of(device))
    whole = import_module("cfexplain_datasets.splits").with_splits(
        import_module("cfexplain_datasets").open_dataset(dataset, data)
    )
    samples = whole.subset(split)
    if len(samples) == 0:
        raise ValueError(f"the data set has no images in the split {split}")
    if list(whole.classes) != list(network.classes):
        raise ValueError(f"the classifier knows {', '.join(network.classes)}, the data set {', '.join(whole.classes)}")
    shown = list(batches.evaluation_batches(samples, network.image_size))
    some = torch.cat([images for images, _ in shown])[:: max(1, len(samples) // 300)][:300]
    strangers = import_module("cfexplain_classifiers.judgement").strangers_from(some)
    judgement: dict[str, Any] = classifiers.judge(network, shown, strangers=strangers).to_dict()
    if out is not None:
        make_folder(out)
        write_json(out / "judgement.json", judgement)
        plot.save(plot.reliability_figure(judgement["reliability"]), out / "reliability.png")
    return judgement


def judgement_text(judgement: Mapping[str, Any]) -> str:
    """The numbers of a judgement, a line each."""

    def lines(values: Mapping[str, Any], indent: str) -> Iterator[str]:
        for key, value in values.items():
            name = key.replace("_", " ")
            if isinstance(value, Mapping):
                yield f"{indent}{name}"
                yield from lines(value, indent + "  ")
            elif isinstance(value, list):
                yield f"{indent}{name}: " + " ".join(f"{v:.3f}" for v in value)
            else:
                yield f"{indent}{name}: {value:.4g}"

    return "\n".join(lines(judgement, ""))


def check_data(dataset: str, folder: Path) -> Any:
    """The report on a data set."""
    datasets = import_module("cfexplain_datasets")
    return import_module("cfexplain_datasets.check").check(datasets.open_dataset(dataset, folder))


def doctor() -> Iterator[str]:
    """Versions, devices, what is shipped, and a check that the main job works."""
    yield from (f"{name} {number}" for name, number in versions().items())
    yield f"device {device_of('auto')}, {torch.get_num_threads()} threads"
    checkpoints = import_module("cfexplain_classifiers.checkpoint")
    for name in checkpoints.SHIPPED:
        try:
            described = checkpoints.describe(checkpoints.locate(name))
        except ValueError as error:
            yield f"classifier {name}: {error}"
            continue
        size, classes = described["architecture"]["image_size"], described["architecture"]["classes"]
        yield f"classifier {name}: {', '.join(classes)}; {size} pixels, RGB in [0, 1]; {described['licence']}"
    yield "a picture becomes the classifier's square by cropping the longer side equally and resizing with antialiasing"
    classifier = load_classifier("synthetic", "cpu")
    lesion = synthetic_lesion(0, classifier)
    result: Edit = explain(classifier, lesion.image[None], budget=30.0)
    yield f"check: {result!r} in {result.seconds[0]:.1f} s"
