"""The curve of one run against the truth, kept under runs/: how variants of a preset are compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from cfexplain.method.stop import Step
from cfexplain.restore import Averaged, Run
from cfexplain.types import Problem


def followed(
    path: Path, told: dict[str, str], truth: Tensor, measure: Callable[[Tensor, Tensor], float], every: int,
    work: Callable[[Run], object],
) -> pd.DataFrame:  # fmt: skip
    """Painting and average measured each so many steps; what is in the file is not run again. No run sees the truth."""
    if path.exists():
        return pd.read_csv(path)
    average, started = Averaged(0.99).start(Problem(truth)), time.perf_counter()
    rows: list[dict[str, Any]] = []

    def watch(step: Step) -> None:
        average(step)
        if (step.index + 1) % every == 0:
            seen = {"painting": measure(step.image, truth), "average": measure(average.chosen(), truth)}
            rows.append(told | {"step": step.index + 1, "seconds": time.perf_counter() - started} | seen)

    work(Run(watch=watch))
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.4f")
    return pd.read_csv(path)
