"""Intervals of what was measured: 95 %, by the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from estimator_study.case import Case
from estimator_study.seen import Array

DRAWS = 1000


def bootstrapped(
    cases: Mapping[str, Sequence[Case]], lesions: Array, pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Measures of each scorer, averaged over its seeds, and differences of pairs, with 95 % intervals.

    Lesions are drawn with replacement, the same for all scorers; the seeds are not drawn.
    """
    strangers = len(next(iter(next(iter(cases.values()))[0].away.values())))
    everything = np.arange(len(lesions)), np.arange(strangers)
    values = {name: averaged(case, *everything) for name, case in cases.items()}
    rng, draws = np.random.default_rng(0), []
    for _ in range(DRAWS):
        chosen = drawn_lesions(lesions, rng), rng.integers(strangers, size=strangers)
        draws.append({name: averaged(case, *chosen) for name, case in cases.items()})
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


def averaged(case: Sequence[Case], drawn: Array, away: Array) -> dict[str, float]:
    """The measures of a scorer, averaged over its seeds."""
    found = [c.measure(drawn, away) for c in case]
    return {k: float(np.mean([f[k] for f in found])) for k in found[0]}


def drawn_lesions(lesions: Array, rng: np.random.Generator) -> Array:
    """Numbers of images: whole lesions, drawn with replacement."""
    order = np.argsort(lesions, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(lesions[order])) + 1)
    return np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])


def spread(value: float, draws: Sequence[float]) -> dict[str, float]:
    """A value with its 95 % percentile interval."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return {"value": float(value), "low": float(low), "high": float(high)}


def mean_of(values: pd.Series) -> dict[str, float]:
    """A mean over lesions with its 95 % percentile bootstrap."""
    numbers = values.to_numpy(dtype=float)
    if len(numbers) == 0:
        return {"n": 0, "value": float("nan"), "low": float("nan"), "high": float("nan")}
    drawn = numbers[np.random.default_rng(0).integers(len(numbers), size=(DRAWS * 2, len(numbers)))].mean(1)
    return {"n": len(numbers), **spread(float(numbers.mean()), list(drawn))}
