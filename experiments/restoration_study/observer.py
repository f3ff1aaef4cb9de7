"""What watches a run: curves against the truth, and what each stop rule would hand over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cfexplain.method.stop import Step
from cfexplain.restore import Averaged, HeldOut, MovingVariance, WindowedVariance
from cfexplain.types import Problem


class Observer:
    """Watches a run: curves against the truth, and what each rule would hand over. The run itself sees none of it."""

    def __init__(
        self, truth: Tensor, measure: Callable[[Tensor, Tensor], float], every: int, path: Path, *, stopping: bool
    ) -> None:
        self.truth, self.measure, self.every, self.path = truth, measure, every, path
        asked = Problem(truth)
        self.average, self.last = Averaged(0.99).start(asked), truth
        self.rules: dict[str, Any] = {
            "wmv": WindowedVariance().start(asked), "emv": MovingVariance().start(asked),
            "wmv average": Averaged(0.99, until=WindowedVariance()).start(asked),
            "emv average": Averaged(0.99, until=MovingVariance()).start(asked),
        } if stopping else {}  # fmt: skip
        self.chosen: dict[str, dict[str, float]] = {}
        self.kept: dict[str, dict[str, float]] = {}
        self.curve: list[tuple[float, ...]] = []
        self.pictures: dict[str, Tensor] = {}

    def __call__(self, step: Step) -> bool:
        """Whether every rule has stopped."""
        self.average(step)
        self.last = step.image
        for name, rule in self.rules.items():
            if name not in self.chosen and rule(step):
                self.chosen[name] = self._chosen(name, step.index)
        if step.index % self.every == 0:
            row = (step.index, self.measure(step.image, self.truth), self.measure(self.average.chosen(), self.truth))
            self.curve.append((*row, float(step.value.sum())))
            if step.index % (50 * self.every) == 0:  # hours long: worth a look on the way
                np.save(self.path, np.array(self.curve, dtype=np.float32))
        if step.index + 1 in (1800, 3000):
            at, self.pictures[f"average at {step.index + 1}"] = f"at {step.index + 1}", self.average.chosen()
            self.kept[at] = {
                "raw": self.measure(step.image, self.truth),
                "average": self.measure(self.average.chosen(), self.truth),
            }
        return len(self.chosen) == len(self.rules)

    def _chosen(self, name: str, stopped: int) -> dict[str, float]:
        self.pictures[name] = self.rules[name].chosen()
        return {"psnr": self.measure(self.pictures[name], self.truth), "stopped": stopped}

    def finish(self, last: int) -> dict[str, Any]:
        """All of it; rules that never stopped hand over what they have."""
        alone = sorted(self.chosen)
        chosen = {n: self.chosen.get(n) or self._chosen(n, last) for n in self.rules}
        curve = np.array(self.curve)
        peaks = {"raw": float(curve[:, 1].max()), "average": float(curve[:, 2].max())}
        at = {"raw": int(curve[curve[:, 1].argmax(), 0]), "average": int(curve[curve[:, 2].argmax(), 0])}
        return {"rules": chosen, "kept": self.kept, "peak": peaks, "peak_at": at, "stopped_by_itself": alone}


@dataclass(frozen=True)
class Until:
    """A stop rule for denoising studies: goes on until the observer's rules have all fired and the least steps are done."""

    observer: Observer
    least: int

    def start(self, problem: Problem) -> Any:
        """Begin."""
        return lambda step: self.observer(step) and step.index + 1 >= self.least


@dataclass(frozen=True, kw_only=True)
class UntilHeldOut(HeldOut):
    """The same on a run that leaves pixels out, so that the rule that reads them is one of the observer's."""

    observer: Observer
    least: int

    def start(self, problem: Problem) -> Any:
        """Begin."""
        self.observer.rules["held out average"] = super().start(problem)
        return Until(self.observer, self.least).start(problem)
