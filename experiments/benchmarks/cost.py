"""What an explanation costs against its pixels, views and steps; and what more seconds buy.

    python experiments/benchmarks/cost.py work         5 minutes on 2 cores; writes results/benchmarks/cost.*
    python experiments/benchmarks/cost.py budget       10 minutes; writes results/benchmarks/budget.* and a plot

`work`: median seconds of the first lesions of the study's list, one setting changed at a time. `budget`: the same lesions
with `budget=` seconds each; how many are found, how sure the classifier is of them over views, and the tuning oracle's
gain in the target's probability.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from typing import Any

import torch
from machine import OUT, keep, questions

import cfexplain
from cfexplain.classifier.checks import predict
from cfexplain.explanation.metrics.oracle import ask_oracle
from cfexplain.method.presets import NATURAL
from cfexplain.method.views import Views
from cfexplain_classifiers import load

BUDGETS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0)


def seconds(method: cfexplain.Method, size: int, count: int) -> float:
    """Median of an explanation; the first one is not counted."""
    classifier, images, asked = questions(count + 1, size)
    spent = [cfexplain.explain(classifier, images[[k]], asked[k], method=method).seconds[0] for k in range(count + 1)]
    return statistics.median(spent[1:])


def work(count: int) -> None:
    """One setting at a time."""
    edit = NATURAL.edit
    settings: list[tuple[str, Any, cfexplain.Method, int]] = [
        *(("pixels a side", size, NATURAL, size) for size in (64, 96, 128, 160, 224)),
        *(("views", n, replace(NATURAL, edit=replace(edit, views=Views(count=n) if n else None)), 128) for n in (0, 1, 2, 4, 8)),
        *(("steps of the edit", n, replace(NATURAL, edit=replace(edit, steps=n, stop=None)), 128) for n in (30, 60, 120, 240)),
    ]  # fmt: skip
    rows = []
    for what, value, method, size in settings:
        rows.append({"what": what, "value": value, "seconds": round(seconds(method, size, count), 2)})
        print(rows[-1], flush=True)
    keep("cost", rows)


def sure(classifier: Any, found: cfexplain.Edit) -> float:
    """Probability of the target over 15 fixed views of the shown image."""
    seen = predict(classifier, Views(count=15).draw(found.image, torch.Generator().manual_seed(0)))
    return float(seen.probabilities[:, int(found.target)].mean())


def budget(count: int) -> None:
    """What more seconds buy."""
    (classifier, images, asked), witness, rows = questions(count, 128), load("witness"), []
    for limit in BUDGETS:
        every = [cfexplain.explain(classifier, images[[k]], asked[k], budget=limit) for k in range(count)]
        rows.append(
            {
                "budget, s": limit,
                "n": count,
                "spent, s": round(statistics.median(e.seconds[0] for e in every), 2),
                "found": sum(e.found[0] for e in every),
                "sure over views": round(statistics.mean(sure(classifier, e) for e in every), 3),
                "witness's gain": round(statistics.mean(float(ask_oracle(e, witness).gain) for e in every), 3),
            }
        )
        print(rows[-1], flush=True)
    keep("budget", rows)
    plot(rows)


def plot(rows: list[dict[str, Any]]) -> None:
    """Quality against seconds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    spent = [row["spent, s"] for row in rows]
    for name, label in (
        ("sure over views", "classifier: target over views"),
        ("witness's gain", "witness: gain in the target"),
    ):
        axis.plot(spent, [row[name] for row in rows], "o-", label=label)
    axis.plot(spent, [row["found"] / row["n"] for row in rows], "o-", label="found")
    axis.set(xlabel="seconds an explanation, 128 pixels", ylim=(0, 1.05))
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(OUT / "budget.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["work", "budget"])
    parser.add_argument("--count", type=int, default=5, help="lesions of each setting")
    args = parser.parse_args()
    {"work": work, "budget": budget}[args.what](args.count)


if __name__ == "__main__":
    main()
