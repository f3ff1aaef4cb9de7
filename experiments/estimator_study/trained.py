"""(a) Joint against post hoc heads; (b) hardened against plain, and joint against post hoc where the training differs."""

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

from cfexplain_classifiers import LesionClassifier, folded, load, train
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_classifiers.calibrate import calibrate, equalise_priors
from cfexplain_classifiers.hardening import off_distribution
from cfexplain_datasets.synthetic import SyntheticLesions
from estimator_study.head import JOINT, SEEDS, SOFTMAX, Head, heads
from estimator_study.measure import Bench, Case, bench, bootstrapped
from estimator_study.seen import EPSILON, OUT, RUN, Seen, ham10000, ham10000_sets, sets, write

RECIPES: dict[str, tuple[dict[str, Any], str]] = {
    "plain": ({}, "{}"),
    "no hardening": ({}, "{}, lesions only"),
    "disturbed": ({"disturbed": EPSILON}, "{} + disturbed"),
    "alone": ({"ranking_weight": 0.0}, "{}, trained alone"),
}
"""Changes of the recipe, and the names of its heads."""


def posthoc() -> None:
    """Joint against post hoc heads on the features of the shipped classifier."""
    network, samples = folded(load("ham10000")), ham10000("test")
    seen, measured = ham10000_sets(network), bench(network, samples, RUN / "ham10000")
    lesions = pd.factorize(samples.table["lesion_id"])[0]
    fitted = [heads(network, seen, seed) for seed in SEEDS]
    cases = {name: [measured.case(h[name]) for h in (fitted[:1] if name == JOINT else fitted)] for name in fitted[0]}
    cases[SOFTMAX] = [measured.case(Seen.uncertainty)]
    found = bootstrapped(cases, lesions, [(JOINT, name) for name in cases if name != JOINT])
    found["fitted on"] = {k: v.facts() for k, v in (seen | {"test": measured.test}).items()}
    write("posthoc", found)
    rows = pd.DataFrame({"image": samples.table.index, "lesion": lesions, "true_loss": measured.test.true.numpy()})
    rows = rows.assign(wrong=cases[JOINT][0].wrong.astype(int), **{SOFTMAX: cases[SOFTMAX][0].home})
    rows = rows.assign(**{name: case[0].home for name, case in cases.items() if name != SOFTMAX})
    rows.to_csv(OUT / "test_rows.csv", index=False, float_format="%.4g")


def hardened(seeds: int) -> None:
    """Small synthetic classifiers: with and without disturbed images, and without an estimator in training."""
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
            folder = run_of(name, seed)
            measured = bench(network, test, folder / "seen")
            facts.setdefault(name, []).append(measured.test.facts())
            sources = {"training": lambda: training, "validation": lambda: validation}
            few = ("", "no lesions") if name in ("plain", "alone") else ()
            seen = sets(network, folder / "seen", sources, few)
            for scorer, case in scored(name, heads(network, seen, seed), measured):
                cases.setdefault(scorer, []).append(case)
            if name != "alone":
                end = bench(last(network, folder, training, validation), test, folder / "seen_last")
                cases.setdefault(f"{RECIPES[name][1].format(JOINT)}, last epoch", []).append(end.case(Head()))
    found = bootstrapped(cases, np.arange(len(test)), compared(list(cases)))
    write("hardened", found | {"test": facts, "same backbone": same, "kept epoch": epochs})


def scored(name: str, fitted: dict[str, Head], measured: Bench) -> Iterator[tuple[str, Case]]:
    """The heads of a run on the test images; where it is trained alone, its own head has learned nothing."""
    for head, score in fitted.items():
        if (head, name) != (JOINT, "alone"):
            yield RECIPES[name][1].format(head), measured.case(score)


def compared(names: list[str]) -> list[tuple[str, str]]:
    """Pairs of scorers whose difference is reported."""
    ends = ("", ", last epoch")
    pairs = [(f"{JOINT}{what}{end}", f"{JOINT}{end}") for what in (" + disturbed", ", lesions only") for end in ends]
    return pairs + [(JOINT, name) for name in names if name.startswith("post hoc")]


def run_of(name: str, seed: int) -> Path:
    return RUN / "synthetic" / f"{name}-{seed}"


def trained(name: str, seed: int, training: InMemory, validation: InMemory) -> LesionClassifier:
    """A small synthetic classifier, from the disk where it was trained before."""
    recipe = replace(SHIPMENTS["synthetic"].recipe, epochs=10, workers=0, seed=seed, **RECIPES[name][0])
    out = run_of(name, seed)
    if not (out / "classifier.safetensors").exists():
        train(
            recipe, training, validation, out, labels=training.labels, augment=augmentation("synthetic", 64),
            hardening=None if name == "no hardening" else off_distribution,
            progress=lambda line: print(name, seed, line, flush=True),
        )  # fmt: skip
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
    states = zip(a.backbone.state_dict().values(), b.backbone.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in states)
