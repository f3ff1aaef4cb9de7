"""Worker processes and real Ray on this machine give the rows of one process, also if a worker is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from cfexplain.audit import audit, local, on_cores, on_ray
from cfexplain.audit.store import read_rows
from cfexplain.method.presets import PIXELS
from cfexplain_datasets.synthetic import SyntheticLesions

COUNT = 12


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'cfexplain[ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def answers(done):
    return done.rows[["image_id", "classifier", "target", "status", "source", "verdict", "case"]]


class Deadly:
    """A data set whose sixth image kills the process that reads it: once with a marker file, always without."""

    def __init__(self, lesions, marker):
        self.lesions, self.table, self.marker = lesions, lesions.table, marker

    def __len__(self):
        return len(self.lesions)

    def __getitem__(self, index):
        if index == 5 and not (self.marker and self.marker.exists()):
            if self.marker:
                self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.lesions[index]


@pytest.mark.slow
def test_ray_gives_the_rows_of_one_process_though_a_worker_is_killed(cluster, classifier, tmp_path):
    lesions = SyntheticLesions(COUNT, size=64, split="test")
    here = audit(classifier, lesions, tmp_path / "local", method=PIXELS, engine=local)
    deadly = Deadly(lesions, tmp_path / "killed")
    there = audit(classifier, deadly, tmp_path / "ray", method=PIXELS, engine=on_ray())
    assert deadly.marker.exists()
    assert answers(there).equals(answers(here))
    assert (there.rows["metric.mean_change"] - here.rows["metric.mean_change"]).abs().max() < 1e-3


class Bound:
    """A data set that cannot be sent to another process."""

    def __init__(self, lesions):
        self.lesions, self.table, self.lock = lesions, lesions.table, threading.Lock()

    def __len__(self):
        return len(self.lesions)

    def __getitem__(self, index):
        return self.lesions[index]


def test_what_cannot_leave_this_process_is_explained_here(classifier, tmp_path):
    lesions = Bound(SyntheticLesions(2, size=64, split="test"))
    with pytest.warns(UserWarning, match="in this process alone: TypeError: cannot pickle"):
        done = audit(classifier, lesions, tmp_path, method=PIXELS, engine=on_cores(2))
    assert len(done.rows) == 2


def test_one_worker_is_this_process(classifier, tmp_path):
    lesions = Bound(SyntheticLesions(2, size=64, split="test"))
    lesions.lock = None
    before = threading.active_count(), torch.get_num_threads()
    done = audit(classifier, lesions, tmp_path, method=PIXELS, engine=on_cores(1))
    assert len(done.rows) == 2
    assert (threading.active_count(), torch.get_num_threads()) == before


@pytest.mark.slow
def test_a_worker_process_that_dies_takes_no_other_row_with_it(classifier, tmp_path):
    lesions = SyntheticLesions(COUNT, size=64, split="test")
    here = audit(classifier, lesions, tmp_path / "local", method=PIXELS, engine=local)
    once = Deadly(lesions, tmp_path / "killed")
    there = audit(classifier, once, tmp_path / "once", method=PIXELS, engine=on_cores(2))
    assert once.marker.exists()
    assert answers(there).equals(answers(here))
    always = audit(classifier, Deadly(lesions, None), tmp_path / "always", method=PIXELS, engine=on_cores(2)).rows
    dead = always["image_id"] == lesions.table.index[5]
    assert set(always.loc[dead, "status"]) == {"failed"}
    assert answers(there)[~dead.to_numpy()].equals(always.loc[~dead, answers(there).columns])


AUDIT = """
import sys
import cfexplain_classifiers
from cfexplain.audit import audit, on_cores
from cfexplain.method.presets import PIXELS
from cfexplain_datasets.synthetic import SyntheticLesions

lesions = SyntheticLesions(40, size=64, split="test")
audit(cfexplain_classifiers.load("synthetic"), lesions, sys.argv[1], method=PIXELS, engine=on_cores(2))
"""


def workers_of(pid):
    return {int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()}


def runs(pid):
    """Whether a process is there and no zombie."""
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and command.read_bytes() != b""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux lists a process's children in /proc")
@pytest.mark.parametrize("rows", [0, 1], ids=["before the first row", "amid the rows"])
def test_workers_end_with_an_audit_that_is_killed(tmp_path, rows):
    killed = subprocess.Popen([sys.executable, "-c", AUDIT, str(tmp_path)], cwd=Path(__file__).parents[2])
    late = time.monotonic() + 120
    while (len(read_rows(tmp_path)) < rows or len(workers_of(killed.pid)) < 2) and time.monotonic() < late:
        time.sleep(0.05)
    workers = workers_of(killed.pid)
    assert len(workers) >= 2
    killed.kill()
    killed.wait()
    late = time.monotonic() + 120
    while any(runs(pid) for pid in workers) and time.monotonic() < late:
        time.sleep(0.2)
    assert [pid for pid in workers if runs(pid)] == []


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_a_sentence(classifier, tmp_path):
    import ray

    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(ValueError, match="no Ray cluster"):
        audit(
            classifier,
            SyntheticLesions(1, size=64, split="test"),
            tmp_path,
            method=PIXELS,
            engine=on_ray("127.0.0.1:1"),
        )
