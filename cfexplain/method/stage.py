"""A method as a value: the stages of a descent, and how its result is shown."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from torch import Tensor

from cfexplain.generators.generator import Generator
from cfexplain.method.line_search import LineSearch
from cfexplain.method.objective import Objective
from cfexplain.method.stop import StopRule
from cfexplain.method.views import Views

Transfer = Literal["never", "after", "during"]


@dataclass(frozen=True)
class Continuation:
    """Further steps where the target has not been reached by the end of a stage; a `Geometric` weight grows in them.

    Attributes:
        steps: at most.
        until: target probability (see `StepMetrics.target_probability`) that counts as reaching the target, beside the
            image being predicted as it; 1 continues to the stop rule.
        patience: further steps that must reach it, since a mean of iterates lags behind.

    Source: ours; what it brings where a classifier is hard to move: experiments/results/isic_robust.md.
    """

    steps: int
    until: float = 0.0
    patience: int = 10


@dataclass(frozen=True)
class Stage:
    """One descent: what is minimised, how far, how fast, and when it may stop early.

    Attributes:
        objective: weighted terms.
        steps: at most.
        learning_rate: of Adam on the generator's parameters.
        stop: ends the stage early, and may choose the image that is handed over (see `Chooser`); None uses all steps.
        views: random views of each candidate that the target and estimator terms are averaged over.
        jitter: standard deviation of the noise added to the generator's input at each step.
        precision: in which the generator computes; the classifier always keeps its own.
        unlock: share of the steps over which the generator's layers are set free one after another, coarse to
            fine (see `Generator`); 0 moves them all from the start.
        averaged: share of the steps, the last ones, whose mean is returned instead of a single iterate; it averages out
            the noise of views and jitter (Polyak and Juditsky 1992). 0: no mean.
        continuation: further steps where the target is not reached in these; None gives up.
        cooldown: share of the steps, the last ones, over which the learning rate falls linearly to a tenth.
    """

    objective: Objective
    steps: int
    learning_rate: float
    stop: StopRule | None = None
    views: Views | None = None
    jitter: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    unlock: float = 0.0
    averaged: float = 0.0
    continuation: Continuation | None = None
    cooldown: float = 0.0

    @property
    def most(self) -> int:
        """Steps that one image can take, further ones included."""
        return self.steps + (0 if self.continuation is None else self.continuation.steps)

    def rate(self, index: int) -> float:
        """The learning rate of this step; after a cooldown further steps take half of it."""
        left = 1 - (index + 1) / self.steps
        if left < 0:
            return self.learning_rate * (0.5 if self.cooldown else 1.0)
        return self.learning_rate * (1.0 if left >= self.cooldown else 0.1 + 0.9 * left / self.cooldown)

    def expected(self, index: int) -> int:
        """Steps to expect in this one: further ones count once they are taken."""
        return self.steps if index < self.steps else self.most

    def progress(self, index: int) -> float:
        """Share of the steps done in this one; from 1 to 2 in further ones."""
        if self.continuation is None or index < self.steps:
            return index / max(1, self.steps - 1)
        return 1 + (index + 1 - self.steps) / self.continuation.steps


@dataclass(frozen=True)
class Method:
    """A way to find counterfactuals, as a value: vary it with `dataclasses.replace`.

    Attributes:
        name: shown to users and written to files.
        generator: generates the image.
        edit: the descent that changes the prediction.
        anchor: the descent that reconstructs the query first; None where the generator starts at the query.
        transfer: residual transfer, which keeps what the generator cannot reconstruct (hairs, texture). "never": the
            output itself is shown. "after": query + (output - anchor) is shown where it is predicted as the target too,
            and otherwise the output. "during": the terms see query + (output - anchor) already.
        line_search: shrinks the change as far as the flip holds; None keeps all of it.
        salient: share of the classifier's squared sensitivity in the region that an edit may change (see
            `search.saliency`); None allows the whole image. Only with `views` in the edit.
        searches: edits of the same anchor through other random views, whose mean change is the result: what they agree
            on stays, what each found by chance is averaged out.
    """

    name: str
    generator: Generator
    edit: Stage
    anchor: Stage | None = None
    transfer: Transfer = "during"
    line_search: LineSearch | None = None
    salient: float | None = None
    searches: int = 1


def settings_of(value: Any) -> Any:
    """A frozen dataclass, such as a `Method`, as plain values for JSON; each part names its kind."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {f.name: settings_of(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [settings_of(v) for v in value]
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
