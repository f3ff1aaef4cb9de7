"""Synthetic dermoscopic lesions with known causes: a data set whose true explanations are known."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch.utils.data import Dataset

from cfexplain_datasets.lesion import Lesion
from cfexplain_datasets.synthetic_factors import (
    CLASSES,
    Factors,
    Nuisance,
    label,
    sample_factors,
    sample_nuisance,
    score,
    true_counterfactual,
)
from cfexplain_datasets.synthetic_paint import paint
from cfexplain_datasets.table import SPLITS

SHORTCUTS = ("ruler", "hair", "vignette")


@dataclass(frozen=True)
class SyntheticLesions(Dataset[Lesion]):
    """Rendered lesions; sample i depends on (seed, split, i) alone, so that more samples change none.

    Of the samples 2 j and 2 j + 1 one is benign and one malignant. Samples are rendered on access, not stored.

    Example:
        >>> SyntheticLesions(4, size=32)[1].id
        'synthetic-0-train-000001'
    """

    n: int  # number of samples
    size: int = 64  # pixels a side
    seed: int = 0  # of the whole set
    split: str = "train"  # train, val or test; the three have no sample in common
    shortcut: str | None = None  # a nuisance of `SHORTCUTS` that is correlated with the malignant class, for audits
    strength: float = 0.9  # share of samples in which the shortcut agrees with the label; 0.5 is none, 1 always
    classes = CLASSES

    def __post_init__(self) -> None:
        known = self.split in SPLITS and self.shortcut in (None, *SHORTCUTS)
        if not known or self.n < 0 or self.size < 16 or not 0 <= self.strength <= 1:
            raise ValueError(
                f"split must be one of {', '.join(SPLITS)}, shortcut one of {', '.join(SHORTCUTS)} or None, n >= 0, "
                f"size >= 16 and 0 <= strength <= 1, got {self}"
            )

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Lesion:
        return self._lesion(index, *self.recipe(index))

    def counterfactual(self, index: int, target: int) -> Lesion:
        """The true counterfactual of sample `index`: the same image with the nearest lesion of the target class."""
        factors, nuisance = self.recipe(index)
        return self._lesion(index, true_counterfactual(factors, target), nuisance)

    def recipe(self, index: int) -> tuple[Factors, Nuisance]:
        """The factors of sample `index`, without rendering it."""
        index = range(self.n)[index]
        source = [self.seed, SPLITS.index(self.split)]
        coin = int(np.random.default_rng([*source, 1, index // 2]).integers(2))
        rng = np.random.default_rng([*source, 0, index])
        target = (index + coin) % 2
        factors, nuisance = sample_factors(rng, target), sample_nuisance(rng)
        if self.shortcut is None:
            return factors, nuisance
        present = bool(target) == (rng.uniform() < self.strength)
        planted: dict[str, Any] = {
            "ruler": present,
            "hair": int(rng.integers(5, 14)) * present,
            "vignette": 0.9 * present,
        }
        return factors, replace(nuisance, **{self.shortcut: planted[self.shortcut]})

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each sample: label, lesion_id, split, score and all factors; indexed by id."""
        known = {"split": self.split}
        rows = [
            {"label": CLASSES[label(recipe[0])], "lesion_id": self._id(index)} | known | _metadata(*recipe)
            for index, recipe in enumerate(map(self.recipe, range(self.n)))
        ]
        return pd.DataFrame(rows, index=pd.Index([row["lesion_id"] for row in rows], name="id"))

    def _lesion(self, index: int, factors: Factors, nuisance: Nuisance) -> Lesion:
        (image, mask), name = paint(factors, nuisance, self.size), self._id(index)
        return Lesion(name, image, label(factors), mask, name, _metadata(factors, nuisance))

    def _id(self, index: int) -> str:
        return f"synthetic-{self.seed}-{self.split}-{range(self.n)[index]:06d}"


def _metadata(factors: Factors, nuisance: Nuisance) -> dict[str, object]:
    return {"score": score(factors)} | asdict(factors) | asdict(nuisance)
