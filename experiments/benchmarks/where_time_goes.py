"""Where the time of an explanation goes, and how far it is from what the machine could do.

    python experiments/benchmarks/where_time_goes.py            2 minutes; writes results/benchmarks/where_time_goes.*

Each part of a step is timed by itself, median of 30. The floor is the multiply-adds of the step's convolutions and
matrix products, forward and backward (counted by torch's FlopCounterMode), over the rate at which the same machine
multiplies two float32 matrices of 2,048 a side. Padding, normalisation, resizing and the bookkeeping of small tensors
have no multiply-adds, so an hourglass of narrow layers stays well above its floor.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import keep, questions
from torch.utils.flop_counter import FlopCounterMode

from cfexplain.method.presets import NATURAL
from cfexplain.method.views import Views

REPEATS = 30


def median_ms(work: Callable[[], Any]) -> float:
    """Milliseconds of a call."""
    seconds = []
    for _ in range(REPEATS + 3):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return 1e3 * statistics.median(seconds[3:])


def operations(work: Callable[[], Any]) -> float:
    """Multiply-adds of a call, in thousand millions."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2e9


def rate() -> float:
    """Thousand million multiply-adds a second of a large float32 matrix product."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    return 2048**3 / 1e9 / (median_ms(lambda: a @ b) / 1e3)


def parts(size: int) -> dict[str, Callable[[], Any]]:
    """The work of one step of the edit, by part."""
    classifier, query, _ = questions(1, size)
    rng, views = torch.Generator().manual_seed(0), NATURAL.edit.views or Views()
    module = NATURAL.generator.build(query, rng)
    z = NATURAL.generator.draw(query, rng)
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-9, fused=True)
    image = query.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
    seen = torch.cat([query, views.draw(query, rng)]).contiguous(memory_format=torch.channels_last).requires_grad_()

    def classified(batch: torch.Tensor) -> None:
        prediction = classifier(batch)
        (prediction.logits.sum() + prediction.loss.sum()).backward()

    def viewed() -> None:
        views.draw(image, rng).sum().backward()

    def painted() -> None:
        module.zero_grad()
        module(z).sum().backward()

    painted()
    return {
        "network, forward and backward": painted,
        "Adam": optimiser.step,
        "views, forward and backward": viewed,
        "classifier, image and views": lambda: classified(seen),
        "(classifier, one image)": lambda: classified(image),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224])
    args = parser.parse_args()
    fastest, rows = rate(), []
    for size in args.sizes:
        for name, work in parts(size).items():
            spent, needed = median_ms(work), operations(work) / fastest * 1e3
            over = f"{spent / needed:.1f}" if needed > 0 else ""
            rows.append(
                {"pixels": size, "part": name, "ms": round(spent, 1), "floor, ms": round(needed, 2), "over floor": over}
            )
    keep("where_time_goes", rows, matrix_rate=round(fastest, 1))


if __name__ == "__main__":
    main()
