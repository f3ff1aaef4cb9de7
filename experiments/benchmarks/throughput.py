"""Explanations a second against the number of images that are optimised together, and the memory that this takes.

    python experiments/benchmarks/throughput.py                               on 2 cores, about 10 minutes
    python experiments/benchmarks/throughput.py --device cuda --batches 1 4 16 64 256

Each batch size runs once over as many images as it holds (at least 4) in a process of its own; a first small batch warms
the machine and is not counted. On a GPU the first batch is one of the same size, for it is then that convolutions are
planned; its seconds are kept beside. Images are the first of the study's list, each with its second most likely class;
beyond the list's end they begin again.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from machine import alone, keep, peak_gib, questions
from shared import command

import cfexplain


def once(size: int, batch: int, device: str) -> dict[str, float]:
    """Images a second of one batch size."""
    count = max(batch, 4)
    classifier, images, asked = questions(min(count, 219), size, device)
    chosen = [k % len(images) for k in range(count)]
    warm, began = chosen if device == "cuda" else chosen[:2], time.perf_counter()
    cfexplain.explain(classifier, images[warm], [asked[k] for k in warm], batch=min(len(warm), batch))
    first = time.perf_counter() - began
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    found = cfexplain.explain(classifier, images[chosen], [asked[k] for k in chosen], batch=batch, seed=1)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds, "first": first, "images": count, "found": sum(found.found), "peak": peak_gib(device),
    }  # fmt: skip


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(once(args.sizes[0], args.batches[0], args.device)))
        return
    rows = []
    for size in args.sizes:
        for batch in args.batches:
            seen = alone(__file__, "--one", "--device", args.device, "--sizes", str(size), "--batches", str(batch))
            rows.append(
                {
                    "pixels": size, "batch": batch, "images": seen["images"], "found": seen["found"],
                    "images a second": round(seen["images"] / seen["seconds"], 3),
                    "peak memory, GiB": round(seen["peak"], 2),
                }
                | ({"first batch, s": round(seen["first"], 1)} if args.device == "cuda" else {})
            )  # fmt: skip
            print(rows[-1], flush=True)
    keep(f"throughput_{args.device}", rows, args.device)


if __name__ == "__main__":
    main()
