"""Whether torch.compile pays: the painter's step compiled and as it is, and what compiling costs.

    python experiments/benchmarks/compiled.py            5 minutes; writes results/benchmarks/compiled.*; needs a C++ compiler

`pays after` is the number of explanations of 230 steps at which the seconds of compiling are won back, in a process that
keeps what it compiled; empty where the compiled step is no faster.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import torch
from machine import keep, questions
from where_time_goes import median_ms

from cfexplain.method.presets import NATURAL

STEPS = 230
"""Of an explanation by the default, anchor and edit together, in the median."""


def measured(size: int) -> dict[str, Any]:
    """The row of one size."""
    _, query, _ = questions(1, size)
    rng = torch.Generator().manual_seed(0)
    module, z = NATURAL.generator.build(query, rng), NATURAL.generator.draw(query, rng)
    compiled = torch.compile(module)

    def step(painter: Any) -> None:
        module.zero_grad()
        painter(z).sum().backward()

    plain = median_ms(lambda: step(module))
    began = time.perf_counter()
    step(compiled)
    spent = time.perf_counter() - began
    faster = median_ms(lambda: step(compiled))
    won = STEPS * (plain - faster) / 1e3
    return {
        "pixels": size, "a step, ms": round(plain, 1), "compiled, ms": round(faster, 1), "compiling, s": round(spent, 1),
        "pays after": math.ceil(spent / won) if won > 0 else "",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224])
    keep("compiled", [measured(size) for size in parser.parse_args().sizes])


if __name__ == "__main__":
    main()
