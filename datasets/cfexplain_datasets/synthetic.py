"""Synthetic dermoscopic lesions with known causes: a data set whose true explanations are known.

The lesion's factors (`Factors`) cause the label by a rule (`score`, `label`), the rest of the picture (`Nuisance`)
does not, and `true_counterfactual` says which lesion would have had the other label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from torch.utils.data import Dataset

from cfexplain_datasets.lesion import Lesion
from cfexplain_datasets.synthetic_factors import (
    BENIGN_BELOW,
    CLASSES,
    COLOURS,
    MALIGNANT_ABOVE,
    STRUCTURES,
    WEIGHTS,
    Factors,
    draw_factors,
    label,
    sample_factors,
    score,
    true_counterfactual,
)
from cfexplain_datasets.synthetic_nuisance import SHORTCUTS, Nuisance, draw_nuisance, sample_nuisance
from cfexplain_datasets.synthetic_paint import paint

__all__ = [
    "BENIGN_BELOW",
    "CLASSES",
    "COLOURS",
    "MALIGNANT_ABOVE",
    "SHORTCUTS",
    "STRUCTURES",
    "WEIGHTS",
    "Factors",
    "Nuisance",
    "SyntheticLesions",
    "label",
    "paint",
    "sample_factors",
    "sample_nuisance",
    "score",
    "true_counterfactual",
]

Split = Literal["train", "val", "test"]
Shortcut = Literal["ruler", "hair", "vignette"]

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SyntheticLesions(Dataset[Lesion]):
    """Painted lesions; sample i depends on (seed, split, i) and on nothing else, so that more samples move none.

    Of the samples 2 j and 2 j + 1 one is benign and one malignant. Nothing is stored: a sample is painted when it is
    asked for.

    Attributes:
        n: number of samples.
        size: pixels a side.
        seed: of the whole set.
        split: train, val or test; the three have no sample in common.
        shortcut: a nuisance that is made to go with the malignant class, for audits: ruler, hair or vignette.
        strength: share of samples in which the shortcut agrees with the label; 0.5 is none, 1 always.

    Example:
        >>> lesion = SyntheticLesions(4, size=32)[1]
        >>> lesion.image.shape, lesion.id
        (torch.Size([3, 32, 32]), 'synthetic-0-train-000001')
    """

    n: int
    size: int = 64
    seed: int = 0
    split: Split = "train"
    shortcut: Shortcut | None = None
    strength: float = 0.9

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        if self.split not in _SPLITS:
            raise ValueError(f"split must be one of {', '.join(_SPLITS)}, got {self.split!r}")
        if self.shortcut not in (None, *SHORTCUTS):
            raise ValueError(f"shortcut must be one of {', '.join(SHORTCUTS)} or None, got {self.shortcut!r}")
        if self.n < 0 or self.size < 16 or not 0 <= self.strength <= 1:
            raise ValueError(
                f"n >= 0, size >= 16, 0 <= strength <= 1 are needed, got {self.n, self.size, self.strength}"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        return CLASSES

    def __len__(self) -> int:
        """Number of samples."""
        return self.n

    def __iter__(self) -> Iterator[Lesion]:
        """The samples in their order."""
        return (self[i] for i in range(self.n))

    def __getitem__(self, index: int) -> Lesion:
        """Paint sample `index`."""
        factors, nuisance = self.recipe(index)
        return self._lesion(index, factors, nuisance)

    def recipe(self, index: int) -> tuple[Factors, Nuisance]:
        """The factors and the nuisance of sample `index`, unpainted."""
        at = self._checked(index)
        source = [self.seed, _SPLITS.index(self.split)]
        coin = int(np.random.default_rng([*source, 1, at // 2]).integers(2))
        rng = np.random.default_rng([*source, 0, at])
        target = (at + coin) % 2
        factors, nuisance = draw_factors(rng, target), draw_nuisance(rng)
        return factors, self._with_shortcut(nuisance, target, rng)

    def counterfactual(self, index: int, target: int) -> Lesion:
        """The true counterfactual of sample `index`: the same picture with the nearest lesion of the target class."""
        factors, nuisance = self.recipe(index)
        return self._lesion(index, true_counterfactual(factors, target), nuisance)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a sample: label, lesion_id, split, score, all factors and all nuisances; indexed by id."""
        rows = [self._row(i, *self.recipe(i)) for i in range(self.n)]
        columns = None if rows else ["label", "lesion_id", "split", "score"]
        return pd.DataFrame(rows, columns=columns, index=pd.Index([self._id(i) for i in range(self.n)], name="id"))

    def _lesion(self, index: int, factors: Factors, nuisance: Nuisance) -> Lesion:
        image, mask = paint(factors, nuisance, self.size)
        name = self._id(self._checked(index))
        return Lesion(name, image, label(factors), mask, name, self._metadata(factors, nuisance))

    def _row(self, index: int, factors: Factors, nuisance: Nuisance) -> dict[str, object]:
        start = {"label": CLASSES[label(factors)], "lesion_id": self._id(index), "split": self.split}
        return start | self._metadata(factors, nuisance)

    @staticmethod
    def _metadata(factors: Factors, nuisance: Nuisance) -> dict[str, object]:
        return {"score": score(factors)} | asdict(factors) | asdict(nuisance)

    def _with_shortcut(self, nuisance: Nuisance, target: int, rng: np.random.Generator) -> Nuisance:
        if self.shortcut is None:
            return nuisance
        present = bool(target) == (rng.uniform() < self.strength)
        if self.shortcut == "ruler":
            return replace(nuisance, ruler=present)
        if self.shortcut == "hair":
            return replace(nuisance, hair=int(rng.integers(5, 14)) * present)
        return replace(nuisance, vignette=0.9 * present)

    def _id(self, index: int) -> str:
        return f"synthetic-{self.seed}-{self.split}-{index:06d}"

    def _checked(self, index: int) -> int:
        if not -self.n <= index < self.n:
            raise IndexError(f"sample {index} of {self.n}")
        return index % self.n
