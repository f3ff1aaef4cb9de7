"""Scorers on the test images of a network, clean, attacked and corrupted, and on images that are no lesions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from shared import auroc, spread

from cfexplain.statistics import spearman
from cfexplain_classifiers import LesionClassifier
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_classifiers.hardening import attack, corrupted
from cfexplain_classifiers.judgement import strangers_from
from estimator_study.seen import EPSILON, Array, Batches, Seen, Some, kept

EVERY, DRAWS = 3, 1000
"""Every third test image is also attacked and corrupted; draws of the bootstrap."""


@dataclass(frozen=True, eq=False)
class Case:
    """The scores of one scorer; `altered` holds every third test image clean, attacked and corrupted."""

    true: Array
    wrong: Array
    home: Array
    combined: Array
    away: Mapping[str, Array]
    altered: Array
    altered_true: Array

    def measure(self, drawn: Array, away: Array) -> dict[str, float]:
        """All measures on the test images drawn, and on the out-of-distribution images drawn."""
        home, wrong, combined = self.home[drawn], self.wrong[drawn], self.combined[drawn]
        third = drawn[drawn % EVERY == 0] // EVERY
        scores, true = self.altered[:, third], self.altered_true[:, third]
        ood = {f"ood: {k}": auroc(values[away], home) for k, values in self.away.items()}
        return {
            "spearman": spearman(home, self.true[drawn]),
            "wrong": auroc(home[wrong], home[~wrong]),
            "wrong, combined": auroc(combined[wrong], combined[~wrong]),
            "ood": float(np.mean(list(ood.values()))),
            **ood,
            "spoilt: spearman": spearman(scores.ravel(), true.ravel()),
            "attacked: spearman": spearman(scores[1], true[1]),
            "corrupted: spearman": spearman(scores[2], true[2]),
            "attacked: rise": float((scores[1] - scores[0]).mean()),
            "attacked: raised": float((scores[1] > scores[0]).mean()),
            "attacked: true rise": float((true[1] - true[0]).mean()),
            "corrupted: rise": float((scores[2] - scores[0]).mean()),
        }


@dataclass(frozen=True, eq=False)
class Bench:
    """The test images of a network as it saw them, and images beside them."""

    test: Seen
    attacked: Seen
    corrupted: Seen
    strangers: Mapping[str, Seen]

    def case(self, score: Callable[[Seen], Array]) -> Case:
        """The scores of one scorer."""
        home, true = score(self.test), self.test.true.numpy()
        return Case(
            true=true,
            wrong=(self.test.logits.argmax(1) != self.test.labels).numpy(),
            home=home,
            combined=(rankdata(home) + rankdata(self.test.uncertainty())) / 2,
            away={kind: score(seen) for kind, seen in self.strangers.items()},
            altered=np.stack([home[::EVERY], score(self.attacked), score(self.corrupted)]),
            altered_true=np.stack([true[::EVERY], self.attacked.true.numpy(), self.corrupted.true.numpy()]),
        )


def bench(network: LesionClassifier, samples: Any, folder: Path) -> Bench:
    """Test images, attacked and corrupted ones, and images that are no lesions."""

    def altered(change: Callable[..., torch.Tensor]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rng = torch.Generator().manual_seed(0)
        for images, labels in evaluation_batches(Some(samples, EVERY), network.image_size):
            yield change(images, labels, rng), labels

    def attack_them(images: torch.Tensor, labels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return attack(network, images, labels, EPSILON, rng, steps=10)

    def seen(name: str, batches: Batches) -> Seen:
        return kept(network, folder, name, lambda: batches)

    some = torch.cat([i for i, _ in evaluation_batches(samples, network.image_size)])
    some = some[:: max(1, len(samples) // 300)][:300]
    return Bench(
        seen("test", evaluation_batches(samples, network.image_size)),
        seen("test attacked", altered(attack_them)),
        seen("test corrupted", altered(lambda images, _, rng: corrupted(images, rng))),
        {k: seen(k, [(i, torch.zeros(len(i)).long()) for i in x.split(64)]) for k, x in strangers_from(some).items()},
    )


def bootstrapped(
    cases: Mapping[str, Sequence[Case]], lesions: Array, pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Measures of each scorer, averaged over its seeds, and differences of pairs, with 95 % intervals.

    Lesions are drawn with replacement, the same for all scorers; the seeds are not drawn.
    """
    strangers = len(next(iter(next(iter(cases.values()))[0].away.values())))
    everything = np.arange(len(lesions)), np.arange(strangers)
    order = np.argsort(lesions, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(lesions[order])) + 1)
    values = {name: averaged(case, *everything) for name, case in cases.items()}
    rng, draws = np.random.default_rng(0), []
    for _ in range(DRAWS):
        chosen = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        away = rng.integers(strangers, size=strangers)
        draws.append({name: averaged(case, chosen, away) for name, case in cases.items()})
    found: dict[str, Any] = {"n": len(lesions), "lesions": len(members), "measures": {}, "differences": {}}
    for name, value in values.items():
        seeds = pd.DataFrame([c.measure(*everything) for c in cases[name]])
        found["measures"][name] = {
            k: spread([d[name][k] for d in draws], v) | {"seeds": seeds[k].tolist()} for k, v in value.items()
        }
    for a, b in pairs:
        found["differences"][f"{a} minus {b}"] = {
            k: spread([d[a][k] - d[b][k] for d in draws], v - values[b][k]) for k, v in values[a].items()
        }
    return found


def averaged(case: Sequence[Case], drawn: Array, away: Array) -> dict[str, float]:
    """The measures of a scorer, averaged over its seeds."""
    return {k: float(v) for k, v in pd.DataFrame([c.measure(drawn, away) for c in case]).mean().items()}


def mean_of(values: pd.Series) -> dict[str, float]:
    """A mean over lesions with its 95 % percentile bootstrap."""
    numbers = values.to_numpy(dtype=float)
    if len(numbers) == 0:
        return {"n": 0, "value": float("nan"), "low": float("nan"), "high": float("nan")}
    drawn = numbers[np.random.default_rng(0).integers(len(numbers), size=(DRAWS * 2, len(numbers)))].mean(1)
    return {"n": len(numbers), **spread(drawn, numbers.mean())}
