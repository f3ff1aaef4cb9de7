"""An audit that is killed again and again ends with the table of an undisturbed one."""

import multiprocessing
import os
import random
import signal
import time
from functools import cache

import pandas as pd
import pytest

COUNT, KILLS = 10, 12


@cache
def loaded():
    import torch

    import cfexplain_classifiers

    torch.set_num_threads(1)
    return cfexplain_classifiers.folded(cfexplain_classifiers.load("synthetic"))


def run(out):
    """What is killed: an audit in a process of its own."""
    from cfexplain.audit import audit
    from cfexplain.method.presets import PIXELS
    from cfexplain_datasets.synthetic import SyntheticLesions

    audit(loaded(), SyntheticLesions(COUNT, size=64, split="test"), out, method=PIXELS)


def table(out):
    from cfexplain.audit.store import read_rows

    return read_rows(out).drop(columns=["seconds", "search_seconds"])


def wait_for_rows(out, more, child):
    """Until the running audit has written so many more rows, or has ended."""

    def last():
        return max((int(part.stem.rpartition("-")[2]) for part in (out / "rows").glob("part-*.parquet")), default=-1)

    before = last()
    while child.is_alive() and last() < before + more:
        time.sleep(0.005)


@pytest.mark.slow
def test_random_kills_lose_nothing_and_repeat_nothing(tmp_path):
    from cfexplain.audit.store import read_rows

    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["cfexplain.audit", "cfexplain_classifiers", "cfexplain_datasets.synthetic"])
    run(tmp_path / "whole")
    rng, grown = random.Random(3), []
    for kill in [True] * KILLS + [False]:
        child = processes.Process(target=run, args=(tmp_path / "killed",))
        child.start()
        if kill:
            wait_for_rows(tmp_path / "killed", rng.randint(0, 2), child)
            child.join(rng.uniform(0, 0.5))
        else:
            child.join()
        if child.exitcode is not None:
            break
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        grown.append(len(read_rows(tmp_path / "killed")))
    assert child.exitcode == 0
    assert grown == sorted(grown)
    assert len({n for n in grown if 0 < n < COUNT}) >= 3, f"too few kills came amid the rows: {grown}"
    pd.testing.assert_frame_equal(table(tmp_path / "killed"), table(tmp_path / "whole"), check_like=True)
    rows = read_rows(tmp_path / "killed")
    assert len(rows) == COUNT
    assert not rows.duplicated(["image_id", "asked", "classifier"]).any()
    assert {p.name for p in (tmp_path / "killed" / "cases").iterdir()} == set(rows["case"])
