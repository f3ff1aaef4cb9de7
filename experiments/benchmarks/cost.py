"""What more seconds buy.

    python experiments/benchmarks/cost.py        10 minutes on 2 cores; writes results/benchmarks/budget.*

The first lesions of the study's list with `budget=` seconds each: how many are found, how sure the classifier is of them
over views, and the tuning oracle's gain in the target's probability.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch
from machine import keep, questions
from shared import command

import cfexplain
from cfexplain.classifier.checks import predict
from cfexplain.explanation.metrics.oracle import ask_oracle
from cfexplain.method.views import Views
from cfexplain_classifiers import load

BUDGETS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0)


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


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--count", type=int, default=5, help="lesions of each budget")
    budget(parser.parse_args().count)


if __name__ == "__main__":
    main()
