"""Worker processes and real Ray on this machine: the local table, also where a worker is killed."""

import os
import signal

import pytest

import cfexplain_classifiers
from cfexplain.audit import audit, local, on_cores, on_ray
from cfexplain.methods import PIXELS
from cfexplain_datasets.synthetic import SyntheticLesions

COUNT = 12


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'cfexplain[ray]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def classifier():
    return cfexplain_classifiers.folded(cfexplain_classifiers.load("synthetic"))


def answers(done):
    return done.rows[["image_id", "classifier", "target", "status", "source", "verdict", "case"]]


class Deadly:
    """A data set at one of whose images the process that reads it is killed, once; always where nothing marks it."""

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
def test_ray_gives_the_local_table_though_a_worker_is_killed(cluster, classifier, tmp_path):
    lesions = SyntheticLesions(COUNT, size=64, split="test")
    here = audit(classifier, lesions, tmp_path / "local", method=PIXELS, engine=local)
    deadly = Deadly(lesions, tmp_path / "killed")
    there = audit(classifier, deadly, tmp_path / "ray", method=PIXELS, engine=on_ray())
    assert deadly.marker.exists()
    assert answers(there).equals(answers(here))
    assert (there.rows["metric.mean_change"] - here.rows["metric.mean_change"]).abs().max() < 1e-3


@pytest.mark.slow
def test_a_worker_on_a_core_that_dies_takes_no_other_row_with_it(classifier, tmp_path):
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
