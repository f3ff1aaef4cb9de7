"""One explanation against the published settings, on this machine.

    python experiments/benchmarks/one_lesion.py             about 20 minutes on 2 cores, alone on the machine
    python experiments/benchmarks/one_lesion.py --device cuda            on a GPU, one image at a time

The reference is the founding method's objective (`regularised-dip`) descended as plainly as the papers do it: the published network (128 channels, 5
scales) in torch's own layers, float32, contiguous memory, one image, a fixed 2,000 steps for the anchor and 500 for the edit, from a cold
start. Its time is 5 times 30 steps of each kind, scaled to these counts; at the smallest size all steps are run once as a
check (`whole`). Ours is `explain` with each method of `OURS`, median
over the first lesions of the list of `isic_comparison.py`; each measurement is a process of its own, for its peak
memory. Seconds are what was seen on the machine named; the ratio is the claim. What is in the results is not measured
again: remove the file for a new run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import torch
from machine import OUT, alone, layers_of_torch, machine, peak_gib, questions
from shared import command, markdown, write_json

import cfexplain
from cfexplain.classifier.checks import predict
from cfexplain.generators import DeepImagePrior
from cfexplain.method.presets import METHODS
from cfexplain.types import Candidate, Problem
from cfexplain_classifiers import load

ANCHOR_STEPS, EDIT_STEPS, TIMED, REPEATS = 2000, 500, 30, 5
OURS = ("natural", "fast")


def reference(
    size: int, device: str, timed: tuple[int, int] = (TIMED, TIMED), repeats: int = REPEATS
) -> dict[str, Any]:
    """Seconds of the plain descent: every step paints, asks the classifier, and moves every weight."""
    _, query, asked = questions(1, size, device)
    classifier = load("ham10000").requires_grad_(False).to(device)
    target = torch.tensor([classifier.classes.index(asked[0])], device=device)
    rng = torch.Generator().manual_seed(0)
    generator = DeepImagePrior()
    network = generator.build(query, rng).to(memory_format=torch.contiguous_format)
    z = generator.draw(query, rng).contiguous()
    problem = Problem(query, classifier, predict(classifier, query), target)

    def steps(objective: cfexplain.Objective, anchor: torch.Tensor | None, count: int) -> float:
        optimiser, began = torch.optim.Adam(network.parameters(), lr=1e-3), time.perf_counter()
        for _ in range(count):
            image = network(z)
            cost = objective(Candidate(image, problem, classifier(image), anchor, 1.0))
            optimiser.zero_grad()
            cost.sum().backward()
            optimiser.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / count

    anchor_stage = cfexplain.REGULARISED_DIP.anchor
    assert anchor_stage is not None
    steps(anchor_stage.objective, None, 3)
    painted = network(z).detach()
    first = [steps(anchor_stage.objective, None, timed[0]) for _ in range(repeats)]
    second = [steps(cfexplain.REGULARISED_DIP.edit.objective, painted, timed[1]) for _ in range(repeats)]
    seconds = ANCHOR_STEPS * statistics.median(first) + EDIT_STEPS * statistics.median(second)
    return {"seconds": seconds, "anchor_step": statistics.median(first), "edit_step": statistics.median(second)}


def ours(size: int, device: str, method: str) -> dict[str, Any]:
    """Seconds and outcome of `explain` on the first lesions."""
    (classifier, images, asked), rows = questions(REPEATS + 1, size, device), []
    for query, target in zip(images.split(1), asked, strict=True):
        began = time.perf_counter()
        found = cfexplain.explain(classifier, query, target, method=METHODS[method])
        row = {"seconds": time.perf_counter() - began, "found": found.found[0], "steps": found.steps[0]}
        rows.append(row | {"anchor_psnr": float(cfexplain.evaluate(found)["anchor_psnr"].iloc[0])})
    rows = rows[1:]  # the first warms the machine
    return {
        "all_seconds": [round(r["seconds"], 2) for r in rows], "found": sum(r["found"] for r in rows), "n": len(rows),
        **{name: statistics.median(r[name] for r in rows) for name in ("seconds", "anchor_psnr", "steps")},
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = []
    for r in rows:
        for name in OURS:
            mine, plain = r[name], r["reference"]["seconds"]
            speed = [f"{plain:.0f} s", name, f"{mine['seconds']:.1f} s", f"{plain / mine['seconds']:.0f}"]
            outcome = [
                f"{mine['found']} of {mine['n']}",
                f"{mine['anchor_psnr']:.1f} dB",
                f"{mine['peak_gib']:.2f} GiB",
            ]
            lines.append([r["size"], *speed, *outcome])
    columns = ["pixels", "reference", "method", "`explain`", "ratio", "found", "anchor", "peak memory"]
    return markdown(columns, lines)


def measure(what: str, size: int, device: str) -> dict[str, Any]:
    """One measurement, here; `whole` is the reference with all of its steps, as a check of the scaling."""
    if what in OURS:
        return ours(size, device, what)
    with layers_of_torch():
        return reference(size, device, (ANCHOR_STEPS, EDIT_STEPS), 1) if what == "whole" else reference(size, device)


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-check", action="store_true", help="leave out the one run of all steps of the reference")
    parser.add_argument("--measure", choices=["reference", "whole", *OURS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        found = measure(args.measure, args.sizes[0], args.device)
        print(json.dumps(found | {"peak_gib": peak_gib(args.device)}))
        return
    path = OUT / ("one_lesion.json" if args.device == "cpu" else f"one_lesion_{args.device}.json")
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = [next((r for r in rows if r["size"] == size), {"size": size}) for size in args.sizes]
    for row in rows:
        checked = ["whole"] if row["size"] == min(args.sizes) and not args.no_check else []
        for what in ("reference", *OURS, *checked):
            if what not in row:
                row[what] = alone(__file__, "--measure", what, "--sizes", str(row["size"]), "--device", args.device)
                write_json(path, {"machine": machine(args.device), "rows": rows})
        print(table([row]), flush=True)
    path.with_suffix(".md").write_text(table(rows))


if __name__ == "__main__":
    main()
