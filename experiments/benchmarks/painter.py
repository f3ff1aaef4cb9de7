"""A step of the painter against the same network in torch's own layers, alternately in one run.

    python experiments/benchmarks/painter.py            4 minutes on a core; writes results/benchmarks/painter.*

`torch's layers`: `nn.Conv2d` with its padding and `interpolate` with its gradient, as the published code has them. Both paint
and are differentiated in channels-last memory; the medians are of steps taken in turns, for the machine is shared.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from typing import Any
from unittest.mock import patch

import torch
from machine import keep
from torch import nn

from cfexplain.generators import DeepImagePrior, doubling
from cfexplain.generators.dip import Convolution
from cfexplain.methods import HOURGLASS
from cfexplain.restore import reuse_memory
from cfexplain.solve import Stage, paint

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
        with patch.object(doubling, "_LARGE", math.inf), patch.object(Convolution, "forward", nn.Conv2d.forward):
            torchs.append(seconds(module, z, precision))
    before, after = (1e3 * statistics.median(times[2:]) for times in (torchs, ours))
    return {
        "network": name, "pixels": size, "precision": precision, "torch's layers, ms": round(before, 1),
        "ours, ms": round(after, 1), "times faster": round(before / after, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=17)
    repeats = parser.parse_args().repeats
    reuse_memory()
    asked = [("narrow, of `natural`", size) for size in (64, 128, 224)] + [
        ("published", size) for size in (128, 256, 512)
    ]
    keep("painter", [measured(*net, kind, repeats) for net in asked for kind in ("float32", "bfloat16")])


if __name__ == "__main__":
    main()
