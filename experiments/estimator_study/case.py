"""The scores that one scorer gives, and their measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from estimator_study.seen import Array

EVERY = 3
"""Every third test image is also attacked and corrupted."""


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
