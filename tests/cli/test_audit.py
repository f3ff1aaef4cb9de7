"""The audit and its pages from the command line, on pictures in a folder."""

import json

import PIL.Image as PIL
import pytest
from typer.testing import CliRunner

from cfexplain.audit import Audit, local
from cfexplain.cli import app
from cfexplain.cli.audit import engine_of
from cfexplain.images import save_png
from cfexplain_datasets.synthetic import SyntheticLesions

COMMON = ["--classifier", "synthetic", "--split", "all", "--method", "pixels", "--device", "cpu"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Six drawn lesions, a folder a class, and one file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for lesion in list(SyntheticLesions(6, size=64, split="test")):
        kind = folder / ("malignant" if lesion.label else "benign")
        kind.mkdir(exist_ok=True)
        save_png(kind / f"{lesion.id}.png", lesion.image)
    (folder / "benign" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def done(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit")
    return out, run("audit", pictures, *COMMON, "--out", out, "--fail-on", "found<0.3")


def test_an_audit_passes_its_rules_and_writes_rows_cases_and_pages(done):
    out, result = done
    assert result.exit_code == 0, result.output
    assert "pass: found<0.3" in result.output
    assert "7 rows" in result.output
    rows = Audit.load(out).rows
    assert len(rows) == 7
    assert list(rows.loc[rows["status"] == "failed", "image_id"]) == ["benign/broken"]
    assert "broken" in (out / "report.html").read_text()
    assert json.loads((out / "summary.json").read_text())["outcome"] == "pass"


def test_a_rule_that_holds_is_exit_code_1_without_asking_again(done, pictures):
    out, _ = done
    before = Audit.load(out).rows
    result = run("audit", pictures, *COMMON, "--out", out, "--fail-on", "failed>0.1")
    assert result.exit_code == 1
    assert "fail: failed>0.1" in result.output
    assert Audit.load(out).rows["seconds"].equals(before["seconds"]), "only the broken picture is tried again"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--fail-on", "beauty<1"], "no measure beauty"),
        (["--seed", "3"], "another seed"),
        (["--engine", "abacus"], "no engine abacus"),
        (["--split", "test", "--limit", "0"], "limit"),
        (["--classifier", "synthetic"], "two classifiers"),
    ],
)
def test_bad_use_is_a_sentence_and_exit_code_2(done, pictures, changed, words):
    out, _ = done
    result = run("audit", pictures, *COMMON, "--out", out, *changed)
    assert result.exit_code == 2
    assert words in result.output


def test_pictures_without_labels_are_audited_without_accuracy(pictures, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    for path in sorted((pictures / "malignant").iterdir())[:2]:
        (loose / path.name).write_bytes(path.read_bytes())
    result = run("audit", loose, *COMMON[:2], "--method", "pixels", "--device", "cpu", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    keys = {section["key"] for section in summary["sections"]}
    assert "outcomes" in keys
    assert "quality" not in keys
    assert Audit.load(tmp_path / "out").rows["label"].isna().all()
    refused = run("train", "--dataset", "folder", "--data", loose, "--out", tmp_path / "run")
    assert refused.exit_code == 2
    assert "needs labels" in refused.output


@pytest.mark.slow
def test_ray_from_the_command_line_gives_the_local_rows(done, pictures, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'cfexplain[ray]'")
    result = run("audit", pictures, *COMMON, "--out", tmp_path, "--engine", "ray", "--cores", "2")
    assert result.exit_code == 0, result.output
    columns = ["image_id", "status", "source", "target", "verdict"]
    assert Audit.load(tmp_path).rows[columns].equals(Audit.load(done[0]).rows[columns])


def test_photographs_that_training_shares_are_named_first(tmp_path, monkeypatch):
    """Another lesion's name on a recompressed copy: only a look at the pictures finds it."""
    lesions = list(SyntheticLesions(4, size=128, split="test"))
    for k, lesion in enumerate(lesions):
        save_png(tmp_path / f"{k}.png", lesion.image)
    PIL.open(tmp_path / "0.png").resize((120, 120)).save(tmp_path / "4.jpg", quality=80)
    (tmp_path / "5.png").write_bytes((tmp_path / "1.png").read_bytes())
    rows = [f"{k}.png,{lesions[k].label},L{k},{'train' if k < 3 else 'test'}" for k in range(4)]
    rows += [f"4.jpg,{lesions[0].label},L4,test", f"5.png,{lesions[1].label},L5,test"]
    (tmp_path / "table.csv").write_text("\n".join(["path,label,lesion_id,split", *rows, ""]))
    shared = {}
    for compared in (100, 2):
        monkeypatch.setattr("cfexplain_datasets.check.COMPARED", compared)
        out = tmp_path / f"out{compared}"
        result = run("audit", tmp_path / "table.csv", *COMMON[:2], "--method", "pixels", "--out", out)
        assert result.exit_code == 0, result.output
        sections = {s["key"]: s for s in json.loads((out / "summary.json").read_text())["sections"]}
        shared[compared] = [r["count"] for r in sections["data"]["rows"] if "in this split and another" in r["finding"]]
    assert shared == {100: [0, 1, 1], 2: [0, None, None]}


def test_report_writes_the_pages_again_elsewhere(done, tmp_path):
    out, _ = done
    result = run("report", out, "--out", tmp_path / "pages")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "pages" / "report.html").exists()
    assert run("report", tmp_path / "nothing").exit_code == 2


@pytest.mark.parametrize(("images", "cores", "here"), [(8, 4, False), (7, 4, True), (8, 1, True)])
def test_many_images_are_answered_on_every_core(images, cores, here, monkeypatch):
    monkeypatch.setattr("cfexplain.audit.engine.usable_cores", lambda: cores)
    engine = engine_of("auto", images, on_gpu=False, cores=1, workers=1, ray_address=None)
    assert (engine is local) == here


def test_a_gpu_is_used_by_this_process_alone():
    assert engine_of("auto", 100, on_gpu=True, cores=1, workers=1, ray_address=None) is local
    with pytest.raises(ValueError, match="the engine cores is for the CPU"):
        engine_of("cores", 100, on_gpu=True, cores=1, workers=1, ray_address=None)
