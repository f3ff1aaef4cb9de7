"""`cfexplain compare` as scripts use it: files, sentences, exit codes."""

import json

from typer.testing import CliRunner

from cfexplain.cli import app


def compare(*arguments):
    given = [str(a) for a in arguments]
    return CliRunner().invoke(app, ["compare", *given, "--classifier", "synthetic", "--method", "pixels"])


def test_pictures_curves_and_a_table(lesions, tmp_path):
    pictures = [lesions / "lesion0.png", lesions / "lesion1.png"]
    done = compare(*pictures, "--with", "saliency,gradcam", "--mask", lesions / "masks", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [str(p) for p in pictures]
    for i in range(2):
        record = json.loads((tmp_path / f"lesion{i}" / "comparison.json").read_text())
        assert record["status"] == "found"
        assert record["image"] == str(pictures[i])
        methods = {row["method"]: row for row in record["rows"]}
        assert list(methods) == ["counterfactual change", "saliency", "gradcam", "edges", "random"]
        assert 0 < methods["saliency"]["energy_inside"] <= 1, "the mask was found by the picture's name"
        assert 0 < methods["saliency"]["sufficiency"] <= 1
        assert (tmp_path / f"lesion{i}" / "comparison.png").stat().st_size > 10_000
        assert (tmp_path / f"lesion{i}" / "curves.png").stat().st_size > 5_000
    every = json.loads((tmp_path / "comparison.json").read_text())
    assert every["images"] == 2
    assert "| gradcam |" in (tmp_path / "methods.md").read_text()
    assert (tmp_path / "methods.png").exists()


def test_a_bad_picture_does_not_cost_the_others_their_table(lesions, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    done = compare(tmp_path / "bad.png", lesions / "lesion0.png", "--with", "saliency", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "bad.png is not a picture" in done.stderr
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["images"] == 1


def test_exit_codes_are_those_of_explain(lesions, tmp_path):
    asked = ["compare", str(lesions / "lesion0.png"), "--classifier", "synthetic", "--with", "saliency"]
    done = CliRunner().invoke(app, [*asked, "--method", "tests_methods:STUCK", "--out", str(tmp_path / "stuck")])
    assert done.exit_code == 1, done.output
    assert json.loads((tmp_path / "stuck" / "lesion0" / "comparison.json").read_text())["status"] == "not_found"
    done = compare(lesions / "lesion0.png", "--with", "saliency", "--target", "benign", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "choose another target" in done.stdout
    assert (tmp_path / "lesion0" / "comparison.json").exists()
    assert not (tmp_path / "lesion0" / "curves.png").exists()


def test_bad_use_is_a_sentence_and_exit_code_two(lesions, tmp_path):
    for arguments, words in (
        (("--with", "lime"), "no attribution method lime"),
        (("--with", "deep-lift"), "use gradient-shap"),
        (("--mask", tmp_path / "none.png"), "there is no file"),
    ):
        done = compare(lesions / "lesion0.png", *arguments, "--out", tmp_path)
        assert done.exit_code == 2
        assert words in done.stderr
        assert "Traceback" not in done.output
