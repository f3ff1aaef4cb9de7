"""The objective: a weighted sum of terms, as a value that can be read, compared and extended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Candidate, Problem


class Term(Protocol):
    """One term of an objective: smaller is better, finite, one value an image.

    A term that reads `candidate.prediction` says so with `uses_classifier = True`; the loop then runs the
    classifier once a step for all of them. Values are not negative, unless the term says `signed = True`.
    """

    def __call__(self, candidate: Candidate, /) -> Float[Tensor, " n"]:
        """The value of each image."""
        ...


@dataclass(frozen=True)
class Ramp:
    """A weight that changes linearly over the first `share` of a stage's steps.

    Example:
        >>> Ramp(0.0, 1.0, share=0.5)(0.25), Ramp(0.0, 1.0, share=0.5)(0.9)
        (0.5, 1.0)
    """

    start: float
    end: float
    share: float = 1.0

    def __call__(self, progress: float) -> float:
        """The weight when this share of the steps is done."""
        done = min(1.0, progress / self.share) if self.share > 0 else 1.0
        return self.start + (self.end - self.start) * done


@dataclass(frozen=True)
class Geometric:
    """A weight that stays for a stage's steps and grows `factor` times over its further ones (see `Continuation`).

    Source: the search over the weight of the target by Wachter et al. (2018), within one descent; ours.

    Example:
        >>> Geometric(2.0, factor=4.0)(0.7), Geometric(2.0, factor=4.0)(1.5), Geometric(2.0, factor=4.0)(2.0)
        (2.0, 4.0, 8.0)
    """

    weight: float
    factor: float

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor must be 1 or more, got {self.factor}")

    def __call__(self, progress: float) -> float:
        """The weight when this share of the steps is done, from 1 to 2 in further ones."""
        grown: float = self.weight * self.factor ** max(0.0, progress - 1.0)
        return grown


Weight = float | Ramp | Geometric


@dataclass(frozen=True)
class WeightedTerm:
    """A weighted term, evaluated in every `every`-th step (its weight is not raised for that)."""

    weight: Weight
    term: Term
    every: int = 1

    def __post_init__(self) -> None:
        if min(self.at(0.0), self.at(1.0)) < 0:
            raise ValueError(f"the weight of {self.term!r} is negative: terms are minimised, so weights are 0 or more")
        if self.every < 1:
            raise ValueError(f"every must be 1 or more, got {self.every}")

    def at(self, progress: float) -> float:
        """The weight when this share of the steps is done."""
        return self.weight(progress) if isinstance(self.weight, Ramp | Geometric) else self.weight

    def due(self, step: int) -> bool:
        """Whether the term takes part in this step."""
        return step % self.every == 0


@dataclass(frozen=True)
class Objective:
    """A sum of weighted terms; `objective | total((0.1, X()))` adds one, `without(X)` leaves one out."""

    parts: tuple[WeightedTerm, ...] = ()

    def __or__(self, other: Objective) -> Objective:
        return Objective(self.parts + other.parts)

    def without(self, *kinds: type) -> Objective:
        """The same sum less the terms of these kinds."""
        return Objective(tuple(p for p in self.parts if not isinstance(p.term, kinds)))

    def uses_classifier(self, step: int) -> bool:
        """Whether a term of this step reads the prediction."""
        return any(getattr(p.term, "uses_classifier", False) for p in self.parts if p.due(step))

    def check(self, problem: Problem) -> None:
        """Let terms that have a `check` refuse the problem before any work is done."""
        for part in self.parts:
            if hasattr(part.term, "check"):
                part.term.check(problem)

    def __call__(self, candidate: Candidate, step: int = 0) -> Float[Tensor, " n"]:
        """sum_k weight_k * term_k(candidate) over the terms that are due, shape (n,)."""
        value = candidate.image.new_zeros(len(candidate.image))
        for part in self.parts:
            if part.due(step):
                value = value + part.at(candidate.progress) * part.term(candidate)
        return value


def total(*parts: tuple[Weight, Term] | tuple[Weight, Term, int]) -> Objective:
    """The sum of (weight, term) or (weight, term, every) pairs.

    Example:
        >>> from cfexplain.terms import SamePixels, TotalVariation
        >>> len(total((1.0, SamePixels()), (0.1, TotalVariation())).parts)
        2
    """
    return Objective(tuple(WeightedTerm(*part) for part in parts))
