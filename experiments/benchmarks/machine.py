"""What every benchmark needs: the first lesions of the study's list, the machine's name, peaks, tables."""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shared import RESULTS, manifest, markdown, targets, write_json

from cfexplain.generators import doubling
from cfexplain.generators.dip import Convolution
from cfexplain.images import square
from cfexplain_classifiers import folded, load

OUT = RESULTS / "benchmarks"


def questions(count: int, size: int, device: str = "cpu") -> tuple[Any, torch.Tensor, list[str]]:
    """The shipped classifier, and lesions with the second most likely class of each."""
    classifier = folded(load("ham10000"))
    images = [square(lesion.image, size)[None] for lesion in manifest()[:count]]
    asked = [targets(classifier, image)["second"] for image in images]
    return classifier.to(device), torch.cat(images).to(device), asked


def machine(device: str = "cpu") -> dict[str, Any]:
    """Where it was measured."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    named = {
        "cores": os.cpu_count(),
        "processor": model,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    return named | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {})


def peak_gib(device: str = "cpu") -> float:
    """The most memory that this process held: resident on a CPU, of a GPU all that torch kept, recordings included."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@contextmanager
def layers_of_torch() -> Iterator[None]:
    """The network in torch's own layers: `nn.Conv2d` with its padding, `interpolate` with its gradient."""
    with patch.object(doubling, "_LARGE", math.inf), patch.object(Convolution, "forward", nn.Conv2d.forward):
        yield


def alone(script: str, *arguments: str) -> Any:
    """The last line that a script prints in a process of its own, so that its peak memory is its own."""
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def keep(name: str, rows: list[dict[str, Any]], device: str = "cpu", **more: Any) -> None:
    """Write results/benchmarks/NAME.json and .md, and print the table."""
    write_json(OUT / f"{name}.json", {"machine": machine(device), "rows": rows} | more)
    table = markdown(list(rows[0]), (row.values() for row in rows))
    (OUT / f"{name}.md").write_text(table)
    print(table, end="", flush=True)
