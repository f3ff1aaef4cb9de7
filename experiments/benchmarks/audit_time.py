"""How long does an audit take here: in one process on all cores, or in a process on each?

    python experiments/benchmarks/audit_time.py            12 minutes on 2 cores, alone; writes results/benchmarks/audit_time.*

The same images of HAM10000 are audited with the default method, in new folders, each time in a process of its own; the
engines take turns, for a shared machine is not equally fast all the time. Seconds are of whole audits, workers' start
and summary included, pages not.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from typing import Any

from machine import alone, keep
from shared import command, ham10000

from cfexplain.audit import audit, local, on_cores
from cfexplain_classifiers import folded, load

ENGINES = {"local": local, "cores": on_cores()}


def measured(engine: str, count: int) -> dict[str, Any]:
    """One audit."""
    samples = ham10000("test")
    classifier, oracles = folded(load("ham10000")), {"witness": folded(load("witness"))}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        rows = audit(classifier, samples, folder, oracles=oracles, limit=count, engine=ENGINES[engine]).rows
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "found": int((rows["status"] == "found").sum()), "row": float(rows["seconds"].median())}


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--measure", choices=list(ENGINES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measured(args.measure, args.images)))
        return
    rows = []
    for turn in range(args.rounds):
        for engine in ENGINES:
            found = alone(__file__, "--measure", engine, "--images", str(args.images))
            rows.append(
                {"round": turn + 1, "engine": engine, "images": args.images, "found": found["found"],
                 "seconds": round(found["seconds"], 1), "seconds a row, median": round(found["row"], 1),
                 "images a minute": round(60 * args.images / found["seconds"], 2)}
            )  # fmt: skip
            print(rows[-1], flush=True)
    spent = {engine: sum(row["seconds"] for row in rows if row["engine"] == engine) for engine in ENGINES}
    keep("audit_time", rows, times_faster=round(spent["local"] / spent["cores"], 2))


if __name__ == "__main__":
    main()
