"""(b) Hardened against plain, and joint against post hoc where the training itself differs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from train_shipped import SHIPMENTS, InMemory, augmentation

from cfexplain_classifiers import LesionClassifier, load, train
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_classifiers.calibrate import calibrate, equalise_priors
from cfexplain_classifiers.hardening import off_distribution
from estimator_study.bench import Bench, bench
from estimator_study.case import Case
from estimator_study.head import JOINT, Head, heads
from estimator_study.interval import bootstrapped
from estimator_study.results import RUN, write
from estimator_study.seen import fit_facts
from estimator_study.sets import EPSILON, synthetic_sets

RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no hardening": {},
    "disturbed": {"disturbed": EPSILON},
    "alone": {"ranking_weight": 0.0},
}
NAMES = {"plain": "{}", "no hardening": "{}, lesions only", "disturbed": "{} + disturbed", "alone": "{}, trained alone"}


def hardened(seeds: int) -> None:
    """Small synthetic classifiers: with and without disturbed images, and without an estimator in training."""
    from cfexplain_datasets.synthetic import SyntheticLesions

    training, validation, test = (
        InMemory(SyntheticLesions(n, 64, 0, split)) for split, n in (("train", 4000), ("val", 1500), ("test", 1500))
    )
    cases: dict[str, list[Case]] = {}
    facts: dict[str, list[dict[str, float]]] = {}
    same, epochs = [], []
    for seed in range(seeds):
        networks = {name: trained(name, seed, training, validation) for name in RECIPES}
        same.append(all(same_backbone(networks["plain"], networks[n]) for n in ("disturbed", "no hardening")))
        epochs.append({name: kept_epoch(run_of(name, seed)) for name in RECIPES})
        for name, network in networks.items():
            judged = bench(network, test, run_of(name, seed) / "seen")
            facts.setdefault(name, []).append(fit_facts(judged.test))
            for scorer, case in scored(name, seed, network, judged, training, validation, test):
                cases.setdefault(scorer, []).append(case)
    found = bootstrapped(cases, np.arange(len(test)), compared(list(cases)))
    write("hardened", found | {"test": facts, "same backbone": same, "kept epoch": epochs})


def scored(
    name: str,
    seed: int,
    network: LesionClassifier,
    judged: Bench,
    training: InMemory,
    validation: InMemory,
    test: InMemory,
) -> Iterator[tuple[str, Case]]:
    """The heads of a run, and its joint head at the last epoch, each on the test images."""
    folder = run_of(name, seed)
    sets = synthetic_sets(network, training, validation, folder / "seen") if name in ("plain", "alone") else {}
    for head, fitted in heads(network, sets, seed).items():
        if (head, name) != (JOINT, "alone"):
            yield NAMES[name].format(head), judged.case(fitted)
    if name != "alone":
        ended = last(network, folder, training, validation)
        yield f"{NAMES[name].format(JOINT)}, last epoch", bench(ended, test, folder / "seen_last").case(Head())


def compared(names: list[str]) -> list[tuple[str, str]]:
    """Pairs of scorers whose difference is told."""
    ends = ("", ", last epoch")
    pairs = [(f"{JOINT}{what}{end}", f"{JOINT}{end}") for what in (" + disturbed", ", lesions only") for end in ends]
    return pairs + [(JOINT, name) for name in names if name.startswith("post hoc")]


def run_of(name: str, seed: int) -> Path:
    """The folder of a training."""
    return RUN / "synthetic" / f"{name}-{seed}"


def trained(name: str, seed: int, training: InMemory, validation: InMemory) -> LesionClassifier:
    """A small synthetic classifier, trained or found where it was trained."""
    recipe = replace(SHIPMENTS["synthetic"].recipe, epochs=10, workers=0, seed=seed, **RECIPES[name])
    out = run_of(name, seed)
    if not (out / "classifier.safetensors").exists():
        train(
            recipe,
            training,
            validation,
            out,
            labels=training.labels,
            augment=augmentation("synthetic", 64),
            hardening=None if name == "no hardening" else off_distribution,
            progress=lambda line: print(name, seed, line, flush=True),
        )
    return load(out / "classifier.safetensors")


def kept_epoch(out: Path) -> int:
    """The epoch whose network a run has kept: the best on validation images among those after detaching."""
    log = pd.read_csv(out / "log.csv")
    late = log[log["epoch"] >= 6].sort_values(["val_balanced_accuracy", "epoch"], ascending=[False, True])
    return int(late["epoch"].tolist()[0])


def last(network: LesionClassifier, out: Path, training: InMemory, validation: InMemory) -> LesionClassifier:
    """The network of a run's last epoch, finished as `train` finishes the kept one."""
    states = load_file(out / "last.safetensors").items()
    ended = copy.deepcopy(network)
    ended.load_state_dict({k.removeprefix("network."): v for k, v in states if k.startswith("network.")})
    equalise_priors(ended, torch.bincount(torch.tensor(training.labels)), SHIPMENTS["synthetic"].recipe.balance)
    calibrate(ended, evaluation_batches(validation, ended.image_size))
    return ended.eval()


def same_backbone(a: LesionClassifier, b: LesionClassifier) -> bool:
    """Whether two networks classify alike to the last bit."""
    return all(torch.equal(x, y) for x, y in zip(a.backbone.state_dict().values(), b.backbone.state_dict().values(), strict=True))  # fmt: skip
