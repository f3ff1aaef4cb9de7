"""The folder of an audit: each row once, though the process that writes is killed again and again."""

import multiprocessing
import os
import random
import signal
import time
from functools import cache

import pandas as pd
import pytest

from cfexplain.audit import store
from cfexplain.audit.settings import FORMAT
from cfexplain.audit.store import read_rows

COUNT, KILLS = 10, 12
SETTINGS = {"format": FORMAT, "seed": 0}
REQUIRED = {"classifier": "c", "asked": "auto", "lesion_id": "a", "seed": 0, "versions": "{}"}


def result(name, **values):
    """A row and a file of its case."""
    row = REQUIRED | {"image_id": name, "status": "found", "case": name} | values
    return row, {"result.json": b"{}"}


def test_rows_come_back_with_their_types_from_lines_and_from_the_exported_table(tmp_path):
    mappings = {"robust.*": {"blur": True}, "meta.*": {"at": "2020-01-01"}}
    with store.writing(tmp_path, SETTINGS):
        store.add(tmp_path, [result("b", error="failed", status="failed", case=None)])
        store.add(tmp_path, [result("a", steps=3, alpha=0.1 + 0.2, **mappings)])
        assert store.done(tmp_path) == {("a", "auto", "c")}
    rows = read_rows(tmp_path)
    first = rows.iloc[0]
    assert list(rows["image_id"]) == ["a", "b"]
    assert (first["alpha"], first["steps"], first["robust.blur"], first["meta.at"]) == (
        0.1 + 0.2,
        3,
        True,
        "2020-01-01",
    )
    exported = pd.concat(map(pd.read_parquet, (tmp_path / "rows").glob("part-*.parquet")))
    pd.testing.assert_frame_equal(exported, rows)


def test_the_last_row_of_a_key_counts(tmp_path):
    with store.writing(tmp_path, SETTINGS):
        store.add(tmp_path, [result("a", status="failed"), result("b")])
        store.add(tmp_path, [result("a", status="not_found")])
    assert list(read_rows(tmp_path)["status"]) == ["not_found", "found"]


@pytest.mark.parametrize("left", [1, 40, -1])
def test_a_line_cut_off_by_a_kill_is_no_row_and_spoils_no_other(tmp_path, left):
    with store.writing(tmp_path, SETTINGS):
        store.add(tmp_path, [result("a")])
        whole = len((tmp_path / store.ROWS).read_bytes())
        store.add(tmp_path, [result("b")])
    content = (tmp_path / store.ROWS).read_bytes()
    cut = content[: whole + 1 + left] if left > 0 else content[:left]
    (tmp_path / store.ROWS).write_bytes(cut)
    assert list(read_rows(tmp_path)["image_id"]) == ["a"]
    with store.writing(tmp_path, SETTINGS):
        assert {path.name for path in (tmp_path / "cases").iterdir()} == {"a"}, "a case without a row is deleted"
        store.add(tmp_path, [result("c")])
    assert list(read_rows(tmp_path)["image_id"]) == ["a", "c"]


def test_the_table_is_exported_also_when_the_audit_is_interrupted(tmp_path):
    def interrupted():
        with store.writing(tmp_path, SETTINGS):
            store.add(tmp_path, [result("a")])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(pd.read_parquet(tmp_path / store.TABLE)["image_id"]) == ["a"]


def test_a_second_writer_is_refused(tmp_path):
    with store.writing(tmp_path, SETTINGS), pytest.raises(ValueError, match="another audit writes"):  # noqa: SIM117
        with store.writing(tmp_path, SETTINGS):
            pass


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "cases" / "patient").mkdir(parents=True)
    (tmp_path / "cases" / "patient" / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(ValueError, match="no audit's"), store.writing(tmp_path, SETTINGS):
        pass
    assert (tmp_path / "cases" / "patient" / "photo.jpg").read_bytes() == b"mine"


def test_an_audit_of_the_former_layout_is_read_but_not_continued(tmp_path):
    """It kept its rows in one Parquet file for every few rows; a kill left rows in two of them."""
    (tmp_path / "rows").mkdir()
    rows = pd.DataFrame({"image_id": list("abc"), "classifier": "c", "asked": "auto", "status": "found"})
    rows.iloc[:2].to_parquet(tmp_path / "rows" / "part-00000000-00000001.parquet")
    rows.iloc[1:2].to_parquet(tmp_path / "rows" / "part-00000001-00000001.parquet")
    rows.iloc[2:].assign(ita=1.0).to_parquet(tmp_path / "rows" / "part-00000002-00000002.parquet")
    (tmp_path / "audit.json").write_text('{"seed": 0}')
    assert list(read_rows(tmp_path)["image_id"]) == ["a", "b", "c"]
    assert list(read_rows(tmp_path)["ita"].notna()) == [False, False, True]
    with pytest.raises(ValueError, match="another version"), store.writing(tmp_path, SETTINGS):
        pass
    assert len(list((tmp_path / "rows").iterdir())) == 3


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


def wait_for_rows(out, more, child):
    """Until the running audit has written so many more rows, or has ended."""
    before = len(read_rows(out))
    while child.is_alive() and len(read_rows(out)) < before + more:
        time.sleep(0.005)


@pytest.mark.slow
def test_random_kills_lose_nothing_and_repeat_nothing(tmp_path):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["cfexplain.audit", "cfexplain_classifiers", "cfexplain_datasets.synthetic"])
    run(tmp_path / "whole")
    killed, rng, grown = tmp_path / "killed", random.Random(3), []
    for kill in [True] * KILLS + [False]:
        child = processes.Process(target=run, args=(killed,))
        child.start()
        if kill:
            wait_for_rows(killed, rng.randint(0, 2), child)
            child.join(rng.uniform(0, 0.5))
        else:
            child.join()
        if child.exitcode is not None:
            break
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        grown.append(len(read_rows(killed)))
    assert child.exitcode == 0
    assert grown == sorted(grown)
    assert len({n for n in grown if 0 < n < COUNT}) >= 3, f"too few kills came amid the rows: {grown}"
    rows, whole = (read_rows(out).drop(columns=["seconds", "search_seconds"]) for out in (killed, tmp_path / "whole"))
    pd.testing.assert_frame_equal(rows, whole, check_like=True)
    assert not rows.duplicated(["image_id", "asked", "classifier"]).any()
    assert {path.name for path in (killed / "cases").iterdir()} == set(rows["case"])
