"""The loss estimator under study: joint or fitted afterwards, hardened or not, and what edits do to it.

    python experiments/estimator.py posthoc       10 minutes on one core; joint against post hoc heads of `ham10000`
    python experiments/estimator.py hardened      12 minutes; small `synthetic` classifiers, 2 seeds of each recipe
    python experiments/estimator.py attacked      5 minutes, 10 more without the comparison's rows; 40 test lesions
    python experiments/estimator.py table         1 second; writes results/estimator/table.md from the three

Every number reported is of test images; heads are fitted on training or validation images, standardised on
validation images, and nothing is chosen on the test split. What takes long is kept in runs/estimator/.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from isic_comparison import DATA, RESULTS, ROOT, keep, manifest, picture_and_mask, place
from safetensors.torch import load_file, save_file
from scipy.stats import rankdata
from torch import Tensor
from train_shipped import SHIPMENTS, InMemory, augmentation

import cfexplain
from cfexplain import methods
from cfexplain.images import round8
from cfexplain.result import Counterfactual
from cfexplain_classifiers import LesionClassifier, LossEstimator, fit_estimator, folded, load, train
from cfexplain_classifiers.attack import attack
from cfexplain_classifiers.batches import evaluation_batches, known
from cfexplain_classifiers.calibrate import calibrate, equalise_priors
from cfexplain_classifiers.corruption import corrupted
from cfexplain_classifiers.estimator import pool
from cfexplain_classifiers.fit import FitRecipe
from cfexplain_classifiers.hardening import disturbed, off_distribution
from cfexplain_classifiers.judgement import strangers_from

RUN, OUT = ROOT / "runs" / "estimator", RESULTS / "estimator"
EPSILON = 4 / 255
SEEDS = (0, 1, 2)
DRAWS = 1000
EVERY = 3
"""Every third test image is also attacked and corrupted."""
EXTRAS = ("", "no lesions", "disturbed")
JOINT, TRAINED, VALIDATED = "joint", "post hoc, training", "post hoc, validation"
SOFTMAX, OTHER = "max-softmax", "witness network"
Array = np.ndarray
Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network made of some images: enough to fit and to judge heads without looking again."""

    logits: Tensor
    joint: Tensor
    labels: Tensor
    pooled: tuple[Tensor, ...]

    @property
    def true(self) -> Tensor:
        """Cross entropy of the calibrated prediction with the label."""
        return F.cross_entropy(self.logits, self.labels, reduction="none")

    def confidence(self) -> Array:
        """Minus the largest probability: high where the prediction is not to be trusted."""
        scores: Array = -self.logits.softmax(1).max(1).values.numpy()
        return scores

    def __add__(self, other: Seen) -> Seen:
        """Both."""
        pooled = tuple(torch.cat(p) for p in zip(self.pooled, other.pooled, strict=True))
        logits, labels = torch.cat([self.logits, other.logits]), torch.cat([self.labels, other.labels])
        return Seen(logits, torch.cat([self.joint, other.joint]), labels, pooled)


@torch.no_grad()
def look(network: LesionClassifier, batches: Batches) -> Seen:
    """Run the network over labelled batches."""
    rows = []
    for images, labels in batches:
        images, labels = known(images, labels)
        found = network(images)
        assert found.loss is not None
        rows.append((found.logits, found.loss, labels, *(pool(f).float() for f in found.features)))
    logits, joint, labels, *pooled = (torch.cat(part) for part in zip(*rows, strict=True))
    return Seen(logits.float(), joint.float(), labels, tuple(pooled))


def kept(path: Path, make: Callable[[], Seen]) -> Seen:
    """What was seen, from the disk where it is there."""
    if not path.exists():
        seen = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = {"logits": seen.logits, "joint": seen.joint, "labels": seen.labels}
        parts |= {f"pooled.{k:02d}": p for k, p in enumerate(seen.pooled)}
        save_file({k: v.contiguous() for k, v in parts.items()}, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
        print("seen", path.stem, len(seen.labels), flush=True)
    parts = load_file(path)
    pooled = tuple(parts[k] for k in sorted(parts) if k.startswith("pooled."))
    return Seen(parts["logits"], parts["joint"], parts["labels"], pooled)


class Recalled:
    """A classifier whose images are the numbers of images that a network has seen before."""

    image_size = 1

    def __init__(self, seen: Seen, classes: Sequence[str]) -> None:
        self.seen, self.classes = seen, classes

    def __call__(self, numbers: Tensor) -> cfexplain.Prediction:
        """The prediction of then."""
        return cfexplain.Prediction(self.seen.logits[numbers], tuple(p[numbers] for p in self.seen.pooled), None)


@dataclass(frozen=True, eq=False)
class Head:
    """A loss estimator with its yardstick from validation images; without a module, the network's own."""

    module: LossEstimator | None = None
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def fit(cls, seen: Seen, validation: Seen, classes: Sequence[str], seed: int) -> Head:
        """Fit a head on what was seen with the package's `fit_estimator`, and standardise it."""
        numbers = torch.arange(len(seen.labels))
        module = fit_estimator(Recalled(seen, classes), [(numbers, seen.labels)], FitRecipe(seed=seed)).estimator
        raw = module(validation.pooled)
        return cls(module, float(raw.mean()), float(raw.std()))

    @torch.no_grad()
    def __call__(self, seen: Seen) -> Array:
        """Standardised estimates."""
        values: Array = self.standardised(cfexplain.Prediction(seen.logits, seen.pooled, seen.joint)).numpy()
        return values

    def standardised(self, found: cfexplain.Prediction) -> Tensor:
        """The same of a prediction, with its gradient."""
        if self.module is not None:
            estimated: Tensor = (self.module(found.features) - self.mean) / self.std
            return estimated
        assert found.loss is not None
        return found.loss


# ---------------------------------------------------------------------------------------------------------------
# Measures and their intervals


@dataclass(frozen=True, eq=False)
class Bench:
    """The test images of a network as it saw them, and images beside them."""

    test: Seen
    attacked: Seen
    corrupted: Seen
    strangers: Mapping[str, Seen]

    def case(self, score: Callable[[Seen], Array]) -> Case:
        """A scorer on this bench."""
        home, confidence = score(self.test), self.test.confidence()
        part = slice(None, None, EVERY)
        return Case(
            true=self.test.true.numpy(),
            wrong=(self.test.logits.argmax(1) != self.test.labels).numpy(),
            home=home,
            combined=(rankdata(home) + rankdata(confidence)) / 2,
            away={kind: score(seen) for kind, seen in self.strangers.items()},
            spoilt=np.stack([home[part], score(self.attacked), score(self.corrupted)]),
            spoilt_true=np.stack([self.test.true.numpy()[part], self.attacked.true.numpy(), self.corrupted.true.numpy()]),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Case:
    """The scores of one scorer; `spoilt` holds every third test image clean, attacked and corrupted."""

    true: Array
    wrong: Array
    home: Array
    combined: Array
    away: Mapping[str, Array]
    spoilt: Array
    spoilt_true: Array

    def measure(self, drawn: Array, away: Array) -> dict[str, float]:
        """All measures on the test images drawn, and on the strangers drawn."""
        home, wrong = self.home[drawn], self.wrong[drawn]
        third = drawn[drawn % EVERY == 0] // EVERY
        spoilt, true = self.spoilt[:, third], self.spoilt_true[:, third]
        strange = {f"ood: {k}": auroc(scores[away], home) for k, scores in self.away.items()}
        return {
            "spearman": spearman(home, self.true[drawn]),
            "wrong": auroc(home[wrong], home[~wrong]),
            "wrong, combined": auroc(self.combined[drawn][wrong], self.combined[drawn][~wrong]),
            "ood": float(np.mean(list(strange.values()))),
            **strange,
            "spoilt: spearman": spearman(spoilt.ravel(), true.ravel()),
            "attacked: spearman": spearman(spoilt[1], true[1]),
            "corrupted: spearman": spearman(spoilt[2], true[2]),
            "attacked: rise": float((spoilt[1] - spoilt[0]).mean()),
            "attacked: raised": float((spoilt[1] > spoilt[0]).mean()),
            "attacked: true rise": float((true[1] - true[0]).mean()),
            "corrupted: rise": float((spoilt[2] - spoilt[0]).mean()),
        }


def auroc(high: Array, low: Array) -> float:
    """Share of pairs in which a score of the first beats one of the second; ties count half."""
    ranks = rankdata(np.r_[high, low])[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def spearman(a: Array, b: Array) -> float:
    """Rank correlation."""
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def drawn_lesions(lesions: Array, rng: np.random.Generator) -> Array:
    """Numbers of images: whole lesions, drawn with replacement."""
    order = np.argsort(lesions, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(lesions[order])) + 1)
    return np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])


def bootstrapped(
    cases: Mapping[str, Sequence[Case]], lesions: Array, pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Measures of each scorer, averaged over its seeds, and differences of pairs, with 95 % intervals.

    Lesions are drawn with replacement, the same for all scorers; the seeds are not drawn.
    """
    strangers = len(next(iter(next(iter(cases.values()))[0].away.values())))

    def mean(case: Sequence[Case], drawn: Array, away: Array) -> dict[str, float]:
        found = [c.measure(drawn, away) for c in case]
        return {k: float(np.mean([f[k] for f in found])) for k in found[0]}

    everything = np.arange(len(lesions)), np.arange(strangers)
    values = {name: mean(case, *everything) for name, case in cases.items()}
    rng, draws = np.random.default_rng(0), []
    for _ in range(DRAWS):
        chosen = drawn_lesions(lesions, rng), rng.integers(strangers, size=strangers)
        draws.append({name: mean(case, *chosen) for name, case in cases.items()})
    found: dict[str, Any] = {"n": len(lesions), "lesions": len(np.unique(lesions)), "measures": {}, "differences": {}}
    for name, value in values.items():
        seeds = pd.DataFrame([c.measure(*everything) for c in cases[name]])
        found["measures"][name] = {
            k: spread(v, [d[name][k] for d in draws]) | {"seeds": seeds[k].tolist()} for k, v in value.items()
        }
    for a, b in pairs:
        found["differences"][f"{a} minus {b}"] = {
            k: spread(v - values[b][k], [d[a][k] - d[b][k] for d in draws]) for k, v in values[a].items()
        }
    return found


def spread(value: float, draws: Sequence[float]) -> dict[str, float]:
    """A value with its 95 % percentile interval."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return {"value": float(value), "low": float(low), "high": float(high)}


# ---------------------------------------------------------------------------------------------------------------
# (a) joint against post hoc


@cache
def ham10000(split: str) -> Any:
    """A split of HAM10000 as the shipped classifier was trained: without copies of held-out images."""
    from cfexplain_datasets import open_dataset
    from cfexplain_datasets.splits import without_leaks

    return without_leaks(open_dataset("ham10000", DATA / "isic" / "ham10000_200x150")).subset(split)


class Some:
    """Every n-th sample of a set."""

    def __init__(self, samples: Any, every: int) -> None:
        self.samples, self.every, self.classes = samples, every, samples.classes

    def __len__(self) -> int:
        return len(range(0, len(self.samples), self.every))

    def __getitem__(self, index: int) -> Any:
        return self.samples[index * self.every]


def spoilt(network: LesionClassifier, samples: Any, extra: str) -> Batches:
    """Images beside a set, made of every fourth of its images as in training.

    An image that is no lesion gets a label drawn at random: the mean of its loss over the draws is what the
    joint training ranks (`hardening.unknown_loss`).
    """
    rng = torch.Generator().manual_seed(0)
    for images, labels in evaluation_batches(Some(samples, 4), network.image_size):
        if extra == "disturbed":
            yield disturbed(network, images, labels, EPSILON, rng)
        else:
            yield off_distribution(images, rng), torch.randint(len(network.classes), labels.shape, generator=rng)


def heads(network: LesionClassifier, sets: Mapping[str, Seen], seed: int) -> dict[str, Head]:
    """The joint head, and the post hoc ones by what they were fitted on."""
    found = {JOINT: Head()}
    for source in ("training", "validation"):
        for extra in EXTRAS:
            if f"{source} {extra}".strip() in sets:
                seen = sets[source] + sets[f"{source} {extra}"] if extra else sets[source]
                name = f"post hoc, {source}" + (f" + {extra}" if extra else "")
                found[name] = Head.fit(seen, sets["validation"], network.classes, seed)
    return found


def bench(network: LesionClassifier, samples: Any, folder: Path) -> Bench:
    """Show a network its test images, attacked and corrupted ones, and images that are no lesions."""
    third = Some(samples, EVERY)
    some = torch.cat([i for i, _ in evaluation_batches(samples, network.image_size)])
    some = some[:: max(1, len(samples) // 300)][:300]

    def attacks() -> Batches:
        rng = torch.Generator().manual_seed(0)
        for images, labels in evaluation_batches(third, network.image_size):
            yield attack(network, images, labels, EPSILON, rng, steps=10), labels

    def faults() -> Batches:
        rng = torch.Generator().manual_seed(0)
        for images, labels in evaluation_batches(third, network.image_size):
            yield corrupted(images, rng), labels

    def seen(name: str, batches: Batches) -> Seen:
        return kept(folder / f"{name.replace(' ', '_')}.safetensors", lambda: look(network, batches))

    return Bench(
        seen("test", evaluation_batches(samples, network.image_size)),
        seen("test attacked", attacks()),
        seen("test corrupted", faults()),
        {k: seen(k, [(i, torch.zeros(len(i)).long()) for i in x.split(64)]) for k, x in strangers_from(some).items()},
    )


def ham10000_sets(network: LesionClassifier) -> dict[str, Seen]:
    """Training and validation images as the network sees them, and images beside them."""
    sets: dict[str, Seen] = {}
    for source, split in (("training", "train"), ("validation", "val")):
        for extra in EXTRAS:
            name = f"{source} {extra}".strip()

            path = RUN / "ham10000" / f"{name.replace(' ', '_')}.safetensors"
            sets[name] = kept(path, lambda split=split, extra=extra: seer(network, ham10000(split), extra)())  # type: ignore[misc]
    return sets


def posthoc() -> None:
    """Joint against post hoc heads on the features of the shipped classifier."""
    network, samples = folded(load("ham10000")), ham10000("test")
    sets, judged = ham10000_sets(network), bench(network, samples, RUN / "ham10000")
    lesions = pd.factorize(samples.table["lesion_id"])[0]
    fitted = [heads(network, sets, seed) for seed in SEEDS]
    cases = {name: [judged.case(h[name]) for h in (fitted[:1] if name == JOINT else fitted)] for name in fitted[0]}
    cases[SOFTMAX] = [judged.case(Seen.confidence)]
    found = bootstrapped(cases, lesions, [(JOINT, name) for name in cases if name != JOINT])
    found["fitted on"] = {k: fit_facts(v) for k, v in sets.items()} | {"test": fit_facts(judged.test)}
    write("posthoc", found)
    rows = pd.DataFrame({"image": samples.table.index, "lesion": lesions, "true_loss": judged.test.true.numpy()})
    rows["wrong"], rows[SOFTMAX] = cases[JOINT][0].wrong.astype(int), judged.test.confidence()
    rows = rows.assign(**{name: case[0].home for name, case in cases.items() if name != SOFTMAX})
    rows.to_csv(OUT / "test_rows.csv", index=False, float_format="%.4g")


def fit_facts(seen: Seen) -> dict[str, float]:
    """Size, error rate and median loss of a set, which tell how much the classifier has memorised it."""
    wrong = seen.logits.argmax(1) != seen.labels
    return {"n": len(wrong), "error_rate": float(wrong.float().mean()), "median_loss": float(seen.true.median())}


# ---------------------------------------------------------------------------------------------------------------
# (b) hardened against plain, and joint against post hoc where the training itself differs


RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no hardening": {},
    "disturbed": {"disturbed": EPSILON},
    "alone": {"ranking_weight": 0.0},
}


def hardened(seeds: int) -> None:
    """Small synthetic classifiers: with and without disturbed images, and without an estimator in training."""
    from cfexplain_datasets.synthetic import SyntheticLesions

    training, validation = (
        InMemory(SyntheticLesions(4000, 64, 0, "train")),
        InMemory(SyntheticLesions(1500, 64, 0, "val")),
    )
    test = InMemory(SyntheticLesions(1500, 64, 0, "test"))
    cases: dict[str, list[Case]] = {}
    facts: dict[str, list[dict[str, float]]] = {}
    same, epochs = [], []
    for seed in range(seeds):
        networks = {name: trained(name, seed, training, validation) for name in RECIPES}
        same.append(all(same_backbone(networks["plain"], networks[n]) for n in ("disturbed", "no hardening")))
        epochs.append({name: kept_epoch(RUN / "synthetic" / f"{name}-{seed}") for name in RECIPES})
        for name, network in networks.items():
            folder = RUN / "synthetic" / f"{name}-{seed}" / "seen"
            judged = bench(network, test, folder)
            facts.setdefault(name, []).append(fit_facts(judged.test))
            sets = synthetic_sets(network, training, validation, folder) if name in ("plain", "alone") else {}
            for head, fitted in heads(network, sets, seed).items():
                if (head, name) != (JOINT, "alone"):
                    cases.setdefault(NAMES[name].format(head), []).append(judged.case(fitted))
            if name != "alone":
                ended = last(network, RUN / "synthetic" / f"{name}-{seed}", training, validation)
                case = bench(ended, test, folder.with_name("seen_last")).case(Head())
                cases.setdefault(f"{NAMES[name].format(JOINT)}, last epoch", []).append(case)
    ends = ("", ", last epoch")
    pairs = [(f"{JOINT}{what}{end}", f"{JOINT}{end}") for what in (" + disturbed", ", lesions only") for end in ends]
    pairs += [(JOINT, name) for name in cases if name.startswith("post hoc")]
    found = bootstrapped(cases, np.arange(len(test)), pairs)
    write("hardened", found | {"test": facts, "same backbone": same, "kept epoch": epochs})


NAMES = {"plain": "{}", "no hardening": "{}, lesions only", "disturbed": "{} + disturbed", "alone": "{}, trained alone"}


def trained(name: str, seed: int, training: InMemory, validation: InMemory) -> LesionClassifier:
    """A small synthetic classifier, trained or found where it was trained."""
    recipe = replace(SHIPMENTS["synthetic"].recipe, epochs=10, workers=0, seed=seed, **RECIPES[name])
    out = RUN / "synthetic" / f"{name}-{seed}"
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


def synthetic_sets(network: LesionClassifier, training: Any, validation: Any, folder: Path) -> dict[str, Seen]:
    """Training and validation images as a small network sees them, and those that are no lesions."""
    sets = {}
    for name, samples in (("training", training), ("validation", validation)):
        sets[name] = kept(folder / f"{name}.safetensors", seer(network, samples))
        strange = seer(network, samples, "no lesions")
        sets[f"{name} no lesions"] = kept(folder / f"{name}_no_lesions.safetensors", strange)
    return sets


def seer(network: LesionClassifier, samples: Any, extra: str = "") -> Callable[[], Seen]:
    """Look at a set, or at images beside it, when asked."""
    if extra:
        return lambda: look(network, spoilt(network, samples, extra))
    return lambda: look(network, evaluation_batches(samples, network.image_size))


def same_backbone(a: LesionClassifier, b: LesionClassifier) -> bool:
    """Whether two networks classify alike to the last bit."""
    return all(torch.equal(x, y) for x, y in zip(a.backbone.state_dict().values(), b.backbone.state_dict().values(), strict=True))  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# (c) what attacks and edits do to the estimate

EXPLAINED = (methods.PIXELS, methods.DIP, methods.REGULARISED_DIP)
NOISE = ("random signs", "corrupted")
ATTACKS = {"attack": "", "attack on joint too": JOINT, "attack on disturbed too": f"{VALIDATED} + disturbed"}
"""Attacks on the class, and the head whose estimate is lowered with it."""


def attacked(count: int) -> None:
    """Estimates and true losses before and after, of the first lesions of the list."""
    network, other = folded(load("ham10000")), folded(load("witness"))
    sets = ham10000_sets(network)
    few = {k: v for k, v in sets.items() if k == "training" or k.startswith("validation")}
    judges, usual = heads(network, few, 0), sets["validation"].confidence()
    lesions = manifest()[:count]
    pairs = [picture_and_mask(lesion, network.image_size) for lesion in lesions]
    queries, labels = torch.cat([q for q, _ in pairs]), torch.tensor([int(lesion.label or 0) for lesion in lesions])
    before = look(network, [(queries, labels)])
    second = before.logits.topk(2).indices[:, 1]
    changed = {name: noisy(name, queries) for name in NOISE}
    changed |= {name: towards(network, queries, second, judges.get(head)) for name, head in ATTACKS.items()}
    states: dict[str, list[str]] = {}
    for method in (*EXPLAINED, methods.NATURAL):
        answers = [
            explanation(network, method, lesion.id, query, mask, network.classes[int(target)])
            for lesion, (query, mask), target in zip(lesions, pairs, second, strict=True)
        ]
        if any(a is None for a in answers):
            print(f"{method.name}: {sum(a is None for a in answers)} of {count} not searched yet, left out", flush=True)
            continue
        changed[method.name] = torch.cat([a.image for a in answers if a is not None])
        states[method.name] = [a.status[0].value for a in answers if a is not None]
    frames = []
    own = look(other, [(queries, labels)])
    for name, images in changed.items():
        after, theirs = look(network, [(images, labels)]), look(other, [(images, labels)])
        frame = pd.DataFrame({"condition": name, "image": [lesion.id for lesion in lesions]})
        frame = frame.assign(
            label=[network.classes[int(y)] for y in labels],
            source=[network.classes[int(y)] for y in before.logits.argmax(1)],
            second=[network.classes[int(y)] for y in second],
            status=states.get(name, ""),
            reached=(after.logits.argmax(1) == second).numpy(),
            right=(before.logits.argmax(1) == labels).numpy(),
            change=(images - queries).abs().mean((1, 2, 3)).numpy(),
            **{"true before": before.true.numpy(), "true after": after.true.numpy()},
            **{f"{OTHER}: true before": own.true.numpy(), f"{OTHER}: true after": theirs.true.numpy()},
            **{f"{OTHER}: before": own.joint.numpy(), f"{OTHER}: after": theirs.joint.numpy()},
        )
        for head, judge in judges.items():
            frame = frame.assign(**{f"{head}: before": judge(before), f"{head}: after": judge(after)})
        for moment, seen in (("before", before), ("after", after)):
            frame[f"{SOFTMAX}: {moment}"] = (seen.confidence() - usual.mean()) / usual.std()
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    rows.to_csv(OUT / "rows.csv", index=False, float_format="%.5g")
    every = [*judges, SOFTMAX, OTHER]
    write("attacked", summary(rows, every) | {"paired": paired(rows, every)})


def noisy(name: str, queries: Tensor) -> Tensor:
    """The queries with random signs of the attack's size, or with a fault each, in eight bits."""
    rng = torch.Generator().manual_seed(0)
    if name == "random signs":
        return round8((queries + EPSILON * torch.randn(queries.shape, generator=rng).sign()).clamp(0, 1))
    return round8(corrupted(queries, rng))


def towards(network: LesionClassifier, queries: Tensor, second: Tensor, head: Head | None, steps: int = 20) -> Tensor:
    """Signed steps towards a class, and down the estimate of a head, within `EPSILON` of every pixel."""
    change = torch.zeros_like(queries)
    for _ in range(steps):
        shown = (queries + change).clamp(0, 1).requires_grad_()
        found = network(shown)
        cost = F.cross_entropy(found.logits, second, reduction="sum")
        if head is not None:
            cost = cost + head.standardised(found).sum()
        (gradient,) = torch.autograd.grad(cost, shown)
        change = (change - 2.5 / steps * EPSILON * gradient.sign()).clamp(-EPSILON, EPSILON)
    return round8((queries + change).clamp(0, 1))


def explanation(
    network: LesionClassifier, method: cfexplain.Method, image: str, query: Tensor, mask: Tensor, target: str
) -> Counterfactual | None:
    """A method's answer: the comparison's where it has one, else our own; the slow default is never searched here."""
    ours = RUN / "rows" / method.name / f"{image}-{target}"
    for folder in (place(method.name, image, target, 0), ours):
        if (folder / "row.json").exists():
            return Counterfactual.load(folder)
    if method.name == methods.NATURAL.name:
        return None
    anchors = ROOT / "runs" / "isic_comparison" / "anchors"
    found = cfexplain.explain(network, query, target, method=method, mask=mask, seed=0, anchors=anchors)
    keep(found, ours)
    print(image, found, f"{found.seconds[0]:.1f} s", flush=True)
    return found


def summary(rows: pd.DataFrame, judges: Sequence[str]) -> dict[str, Any]:
    """By condition: how many reached the class, and the changes of true loss and of each estimate.

    `fooled` is the share, among rightly classified lesions that now get the second class, of those whose
    estimate fell although the loss with respect to the label rose.
    """
    found: dict[str, Any] = {}
    for name, part in rows.groupby("condition", sort=False):
        flipped = part[part["right"] & part["reached"]]
        rose = flipped["true after"] > flipped["true before"]
        entry: dict[str, Any] = {
            "n": len(part),
            "right before": int(part["right"].sum()),
            "reached": int(part["reached"].sum()),
            "right and reached": len(flipped),
            "not found": int((~part["status"].isin(["", "found"])).sum()),
            "mean change": float(part["change"].mean()),
            "true loss": mean_of(part["true after"] - part["true before"]),
            "true loss, right before": mean_of((part["true after"] - part["true before"])[part["right"]]),
        }
        for judge in judges:
            change = part[f"{judge}: after"] - part[f"{judge}: before"]
            fell = change[flipped.index] < 0
            entry[judge] = {
                "before": float(part[f"{judge}: before"].mean()),
                "change": mean_of(change),
                "change, right and reached": mean_of(change[flipped.index]),
                "lowered": int((change < 0).sum()),
                "fooled": int((fell & rose).sum()),
            }
        found[str(name)] = entry
    return found


def paired(rows: pd.DataFrame, judges: Sequence[str]) -> dict[str, Any]:
    """How much lower each estimate ends on the same lesions where the joint one is optimised."""
    after = {str(name): part.set_index("image") for name, part in rows.groupby("condition")}
    found = {}
    for a, b in (("attack on joint too", "attack"), ("regularised-dip", "dip"), ("natural", "dip")):
        if a in after and b in after:
            found[f"{a} minus {b}"] = {j: mean_of(after[a][f"{j}: after"] - after[b][f"{j}: after"]) for j in judges}
    return found


def mean_of(values: pd.Series) -> dict[str, float]:
    """A mean over lesions with its 95 % percentile bootstrap."""
    numbers = values.to_numpy(dtype=float)
    if len(numbers) == 0:
        return {"n": 0, "value": float("nan"), "low": float("nan"), "high": float("nan")}
    drawn = numbers[np.random.default_rng(0).integers(len(numbers), size=(DRAWS * 2, len(numbers)))].mean(1)
    return {"n": len(numbers), **spread(float(numbers.mean()), list(drawn))}


# ---------------------------------------------------------------------------------------------------------------
# Writing


def write(name: str, found: dict[str, Any]) -> None:
    """A part's numbers, rounded to five digits."""
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(json.dumps(found), parse_float=lambda x: float(f"{float(x):.5g}")), indent=1)
    (OUT / f"{name}.json").write_text(text + "\n")
    print("wrote", name, flush=True)


def cell(found: Mapping[str, float], digits: int = 3) -> str:
    """A value with its interval."""
    return f"{found['value']:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def grid(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    return "\n".join([*lines, *("| " + " | ".join(r) + " |" for r in rows)]) + "\n"


SHOWN = {
    "spearman": "Spearman with the true loss",
    "wrong": "misclassification AUROC",
    "wrong, combined": "the same, combined with max-softmax",
    "ood": "out-of-distribution AUROC, mean of three kinds",
    "spoilt: spearman": "Spearman, a third of them clean, attacked and corrupted",
    "attacked: spearman": "Spearman, attacked",
    "corrupted: spearman": "Spearman, corrupted",
    "attacked: rise": "rise of the estimate by the attack",
    "attacked: raised": "estimate raised by the attack (share)",
}


def comparison(found: Mapping[str, Any]) -> str:
    """Measures and differences of a part as two tables."""
    measures, differences = found["measures"], found["differences"]
    first = grid(["head", *SHOWN.values()], ([n, *(cell(m[k]) for k in SHOWN)] for n, m in measures.items()))
    second = grid(["difference", *SHOWN.values()], ([n, *(cell(m[k]) for k in SHOWN)] for n, m in differences.items()))
    return first + "\n" + second


def table() -> None:
    """All parts as Markdown."""
    parts = {n: json.loads((OUT / f"{n}.json").read_text()) for n in ("posthoc", "hardened", "attacked") if (OUT / f"{n}.json").exists()}  # fmt: skip
    text = "# The loss estimator\n\nWritten by `experiments/estimator.py`. Brackets are 95 % intervals.\n"
    text += "".join(SECTIONS[name](found) for name, found in parts.items())
    (OUT / "table.md").write_text(text)
    print(text)


def posthoc_section(found: Mapping[str, Any]) -> str:
    """(a) in words and tables."""
    facts = grid(
        ["images of `ham10000`", "n", "error rate", "median true loss"],
        ([k, str(f["n"]), f"{f['error_rate']:.3f}", f"{f['median_loss']:.4f}"] for k, f in found["fitted on"].items()),
    )
    return f"""
## (a) Joint against post hoc, `ham10000`

n = {found["n"]} test images of {found["lesions"]} lesions; whole lesions are drawn. A post hoc head is `fit_estimator` on the frozen
features of the shipped classifier, the mean of seeds {", ".join(map(str, SEEDS))}; "no lesions" and "disturbed" add images made of a
quarter of the set as in joint training (attack at most 4/255). The shipped joint head was trained with "no lesions", so its fair
rivals out of distribution are those. Attacked test images: every third, 10 steps at 4/255 away from the label.
Two limits: the features themselves were shaped by the joint ranking loss, so this compares heads, not trainings (for that see b);
and the training losses below are those of a classifier that has memorised much of its training set.

{facts}
{comparison(found)}"""


def hardened_section(found: Mapping[str, Any]) -> str:
    """(b) in words and tables."""
    same, epochs = found["same backbone"], found["kept epoch"]
    errors = {k: ", ".join(f"{x['error_rate']:.3f}" for x in v) for k, v in found["test"].items()}
    return f"""
## (b) Hardened against plain, `synthetic`

The recipe of `synthetic` on 4,000 images for 10 epochs, {len(same)} seeds; n = {found["n"]} test images (drawn
with replacement; the seeds are not drawn). "disturbed": the estimator also ranks attacked (at most 4/255, 3 steps) and corrupted
images after detaching; "lesions only": it is not even shown images that are no lesions, as the plain one is. Their backbones are the
plain run's to the last bit in {sum(same)} of {len(same)} seeds, so only the heads differ. Hardening starts at epoch 6; the epoch kept, by balanced
accuracy, is {", ".join(str(e["disturbed"]) for e in epochs)}, so where it is 6 the kept head has seen it for 62 steps; "last epoch" is the same run's end.
"Trained alone": ranking weight 0, so no estimator shapes the features. Error rates: plain {errors["plain"]}; alone {errors["alone"]}.

{comparison(found)}"""


def attacked_section(found: Mapping[str, Any]) -> str:
    """(c) in words and tables."""
    judges = [JOINT, TRAINED, VALIDATED, f"{VALIDATED} + no lesions", f"{VALIDATED} + disturbed", SOFTMAX, OTHER]
    paired = found["paired"]
    found = {k: v for k, v in found.items() if k != "paired"}
    some = next(iter(found.values()))
    first = grid(
        ["condition", "reached the second class", "not found", "mean change", "true loss", "true loss, right before"],
        (
            (
                name,
                f"{e['reached']} of {e['n']}",
                str(e["not found"]),
                f"{e['mean change']:.4f}",
                cell(e["true loss"], 2),
                f"{cell(e['true loss, right before'], 2)} of {e['right before']}",
            )
            for name, e in found.items()
        ),
    )
    change = grid(
        ["change of the estimate", *judges],
        ([n, *(f"{cell(e[j]['change'], 2)}, {e[j]['lowered']} of {e['n']} fell" for j in judges)] for n, e in found.items()),
    )  # fmt: skip
    fooled = grid(
        ["fell although the true loss rose", *judges],
        ([n, *(f"{e[j]['fooled']} of {e['right and reached']}" for j in judges)] for n, e in found.items()),
    )
    pairs = grid(
        ["difference of the estimates afterwards", *judges],
        ([n, *(cell(e[j], 2) for j in judges)] for n, e in paired.items()),
    )
    missing = "" if methods.NATURAL.name in found else "`natural` is left out: its rows are not there yet."
    return f"""
## (c) What attacks and edits do to the estimate, `ham10000`

The first {some["n"]} test lesions of `isic_comparison.manifest()`, {some["right before"]} of them rightly classified; each goes towards its
second most likely class; images are judged in eight bits. Estimates are standardised on validation images; lesions are drawn for the
intervals. Attacks: 20 signed steps within 4/255 that raise the probability of the second class; "on joint too" and "on disturbed too" also
lower that head's estimate. The joint estimate is optimised by `regularised-dip`, `natural` and the second attack, "{VALIDATED} + disturbed"
by the third attack, the other heads never, but all read the same features; the `witness` network shares no weights. True losses are
with respect to the dermatologist's label, which a tiny attack leaves true, while an edit may rightly end it. Max-softmax is minus the
largest probability, standardised too. Rows of `dip`, `regularised-dip` and `natural` are those of the comparison where it has them.
{missing}
{first}
{change}
The same lesion after two edits; what the joint estimate alone gained by being optimised would show in its column alone:

{pairs}
Rightly classified lesions that reach the second class, and whose estimate fell although the loss of the label rose:

{fooled}"""


SECTIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "posthoc": posthoc_section,
    "hardened": hardened_section,
    "attacked": attacked_section,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["posthoc", "hardened", "attacked", "table"])
    parser.add_argument("--count", type=int, default=40, help="lesions of the list to attack and explain")
    parser.add_argument("--seeds", type=int, default=2, help="of the synthetic classifiers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    {
        "posthoc": posthoc,
        "hardened": lambda: hardened(args.seeds),
        "attacked": lambda: attacked(args.count),
        "table": table,
    }[args.part]()


if __name__ == "__main__":
    main()
