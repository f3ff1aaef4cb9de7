"""Real audits, and what an audit promises: nothing lost by kills, flat memory, a projected cost.

    cfexplain audit $CFEXPLAIN_DATA/isic/ham10000_200x150 --classifier ham10000 --limit 400 --out runs/audit/ham10000
    cfexplain audit $CFEXPLAIN_DATA/isic/isic2017_256 --classifier ham10000 --limit 60 --out runs/audit/isic2017
    python experiments/audit_study.py kills        3 minutes: 50 kills at random moments against an undisturbed run
    python experiments/audit_study.py memory       20 minutes: resident memory over 500 images
    python experiments/audit_study.py table        writes results/audit/ from these and from `planted_shortcut.py`

Audits with 400 images take 90 minutes of one core; with `--engine ray` two cores share them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from functools import cache
from pathlib import Path
from typing import Any

from cfexplain.audit import Audit
from cfexplain.audit.store import read_rows

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "runs" / "audit"
RESULT = ROOT / "experiments" / "results" / "audit"
ARCHIVE = 400_000
"""Images in the ISIC archive, about."""

KILLS, ROWS, IMAGES, LESIONS = 50, 160, 500, 150


@cache
def loaded() -> Any:
    import torch

    import cfexplain_classifiers

    torch.set_num_threads(1)
    return cfexplain_classifiers.folded(cfexplain_classifiers.load("synthetic"))


def work(out: Path, count: int, progress: Any = None) -> None:
    """An audit of quick questions."""
    from cfexplain.audit import audit
    from cfexplain.method.presets import PIXELS
    from cfexplain_datasets.synthetic import SyntheticLesions

    audit(loaded(), SyntheticLesions(count, size=64, split="test"), out, method=PIXELS, progress=progress)


def kills() -> dict[str, Any]:
    """Kill the audit again and again, then let it end, and compare the tables."""
    for name in ("whole", "killed"):
        shutil.rmtree(RUN / name, ignore_errors=True)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["cfexplain.audit", "cfexplain_classifiers", "cfexplain_datasets.synthetic"])
    started = time.monotonic()
    work(RUN / "whole", ROWS)
    span = (time.monotonic() - started) / ROWS
    rng, kept = random.Random(0), []
    for kill in [True] * KILLS + [False]:
        child = processes.Process(target=work, args=(RUN / "killed", ROWS))
        child.start()
        if kill:
            wait_for_rows(RUN / "killed", rng.randint(0, 3), child)
            child.join(rng.uniform(0, 2 * span))
        else:
            child.join()
        if child.exitcode is not None:
            break
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        kept.append(len(read_rows(RUN / "killed")))
    whole, rest = (read_rows(RUN / name).drop(columns=["seconds", "search_seconds"]) for name in ("whole", "killed"))
    return {
        "kills": len(kept), "rows": len(whole), "lost": len(set(whole["image_id"]) - set(rest["image_id"])),
        "doubled": int(rest.duplicated(["image_id", "asked", "classifier"]).sum()), "equal": bool(whole.equals(rest)),
        "rows_kept_at_each_kill": kept,
    }  # fmt: skip


def wait_for_rows(out: Path, more: int, child: Any) -> None:
    """Until the running audit has written so many more rows, or has ended: kills shall come amid the work."""
    before = len(read_rows(out))
    while child.is_alive() and len(read_rows(out)) < before + more:
        time.sleep(0.005)


def lesions(out: Path, count: int, progress: Any = None) -> None:
    """The default audit of `ham10000`, with generator, views and oracle, of so few steps that many images take minutes."""
    from dataclasses import replace

    import torch
    from shared import ham10000

    from cfexplain.audit import audit
    from cfexplain.method.presets import NATURAL
    from cfexplain_classifiers import folded, load

    torch.set_num_threads(1)
    anchor = replace(NATURAL.anchor, steps=4, stop=None)  # type: ignore[type-var]
    short = replace(NATURAL, anchor=anchor, edit=replace(NATURAL.edit, steps=4))
    oracles = {"witness": folded(load("witness"))}
    audit(
        folded(load("ham10000")), ham10000("test"), out, method=short, oracles=oracles, limit=count, progress=progress
    )


def memory() -> dict[str, Any]:
    """How resident memory grows over images, in a process of its own each."""
    return {
        "quick questions": grown("quick", work, IMAGES),
        "lesions asked of `ham10000` in few steps": grown("ham10000", lesions, LESIONS),
    }


def grown(name: str, audited: Any, count: int) -> dict[str, Any]:
    """MiB by tenths of the images; growth from the first tenth on."""
    shutil.rmtree(RUN / "memory" / name, ignore_errors=True)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seen = pool.apply(_watched, (audited, RUN / "memory" / name, count))
    at = {n: seen[n] for n in range(count // 10, count + 1, count // 10)}
    return {"images": count, "mib": at, "growth_mib": at[count] - at[count // 10]}


def _watched(audited: Any, folder: Path, count: int) -> dict[int, float]:
    seen: dict[int, float] = {}
    audited(folder, count, lambda done, _: seen.__setitem__(done, resident()))
    return seen


def resident() -> float:
    """MiB of this process in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def projection(rows: Any) -> dict[str, Any]:
    """Hours for the archive from the seconds a row."""
    seconds = float(rows["seconds"].mean())
    hours = {str(n): ARCHIVE * seconds / n / 3600 for n in (2, 16, 64, 256)}
    return {"seconds_a_row": seconds, "images": ARCHIVE, "hours_by_workers": hours}


def tabulate() -> None:
    """Keep the summaries, and what was measured beside them."""
    RESULT.mkdir(parents=True, exist_ok=True)
    import pandas as pd

    files = [RUN / f"{name}.json" for name in ("kills", "memory")]
    every, record = [], {path.stem: json.loads(path.read_text()) for path in files if path.exists()}
    for name in ("ham10000", "isic2017"):
        if (RUN / name / "summary.json").exists():
            done = Audit.load(RUN / name)
            done.summary.save(RESULT / f"{name}.json")
            rows = done.rows.drop(columns=["versions", "probabilities"])
            rows.to_csv(RESULT / f"{name}_rows.csv", index=False, float_format="%.4g")
            every.append(rows)
    if every:
        record["projection"] = projection(pd.concat(every))
    (RESULT / "audit.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["kills", "memory", "table"])
    command = parser.parse_args().command
    RUN.mkdir(parents=True, exist_ok=True)
    if command == "table":
        tabulate()
        return
    found = {"kills": kills, "memory": memory}[command]()
    (RUN / f"{command}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(found)


if __name__ == "__main__":
    main()
