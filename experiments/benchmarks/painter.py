"""A step of the painter against the same network in torch's own layers, alternately in one run.

    python experiments/benchmarks/painter.py            4 minutes on a core; writes results/benchmarks/painter.*

`torch's layers`: `nn.Conv2d` with its padding and `interpolate` with its gradient, as the published code has them. Both paint
and are differentiated in channels-last memory; the medians are of steps taken in turns, for the machine is shared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from machine import keep, layers_of_torch
from torch import nn

from cfexplain.generators import DeepImagePrior
from cfexplain.method.presets import HOURGLASS
from cfexplain.method.stage import Stage
from cfexplain.restore import reuse_memory
from cfexplain.search.descend import paint

NETS = {"narrow, of `natural`": HOURGLASS, "published": DeepImagePrior()}


def seconds(module: nn.Module, z: torch.Tensor, precision: Any) -> float:
    """One painting and its gradient."""
    began = time.perf_counter()
    image = paint(module, z, Stage(None, 1, 0.0, precision=precision))  # type: ignore[arg-type]
    torch.autograd.grad(image.sum(), list(module.parameters()))
    return time.perf_counter() - began


def measured(name: str, size: int, precision: str, repeats: int) -> dict[str, Any]:
    """The row of one network, size and precision."""
    query, rng = torch.rand(1, 3, size, size), torch.Generator().manual_seed(0)
    module, z = NETS[name].build(query, rng), NETS[name].draw(query, rng)
    ours, torchs = [], []
    for _ in range(repeats):
        ours.append(seconds(module, z, precision))
        with layers_of_torch():
            torchs.append(seconds(module, z, precision))
    before, after = (1e3 * statistics.median(times[2:]) for times in (torchs, ours))
    return {
        "network": name, "pixels": size, "precision": precision, "torch's layers, ms": round(before, 1),
        "ours, ms": round(after, 1), "times faster": round(before / after, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=17)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    reuse_memory()
    asked = [("narrow, of `natural`", size) for size in (64, 128, 224)] + [
        ("published", size) for size in (128, 256, 512)
    ]
    keep("painter", [measured(*net, kind, args.repeats) for net in asked for kind in ("float32", "bfloat16")])


if __name__ == "__main__":
    main()
