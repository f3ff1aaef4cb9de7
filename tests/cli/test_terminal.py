"""What all commands share: printing, exit codes, the folders of results."""

from pathlib import Path

import pytest

from cfexplain.cli.terminal import BAD_USE, BUG, FAILED, OK, execute, json_text, make_folder, result_folders


def works():
    yield "first"
    yield FAILED
    yield OK
    yield "second"


def continues():
    yield ValueError("no image")
    yield "another image"
    yield FAILED


def raises(error):
    yield "first"
    raise error


@pytest.mark.parametrize(
    ("output", "code", "printed", "complaint"),
    [
        (works(), FAILED, "first\nsecond\n", ""),
        (continues(), BAD_USE, "another image\n", "cfexplain: no image\n"),
        (raises(ValueError("a bad option")), BAD_USE, "first\n", "cfexplain: a bad option\n"),
        (raises(TypeError("a bad type")), BAD_USE, "first\n", "cfexplain: a bad type\n"),
        (raises(OSError(28, "No space left", "a.png")), BAD_USE, "first\n", "cfexplain: a.png: No space left\n"),
        (raises(KeyboardInterrupt()), BAD_USE, "first\n", "cfexplain: stopped; what was finished is kept\n"),
    ],
)
def test_lines_are_printed_and_errors_are_one_sentence(output, code, printed, complaint, capsys):
    assert execute(output) == code
    assert capsys.readouterr() == (printed, complaint)


def test_a_bug_is_shown_whole_and_asks_for_a_report(capsys):
    assert execute(raises(ZeroDivisionError("in the library"))) == BUG
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "in the library" in shown
    assert shown.splitlines()[-1] == "cfexplain: this should not happen; please report it with the lines above"


def test_a_reader_that_leaves_is_no_bad_use():
    with pytest.raises(BrokenPipeError):
        execute(raises(BrokenPipeError()))


def test_folders_have_names_of_their_own():
    images = [Path("x/a.png"), Path("y/a.jpg"), Path("a-2.png"), Path("b.png")]
    names = [[folder.name for folder in folders] for _, folders in result_folders(images, Path("out"))]
    assert names == [["a"], ["a-2"], ["a-2-2"], ["b"]]
    names = [[folder.name for folder in folders] for _, folders in result_folders(images, Path("out"), 2)]
    assert names == [["a", "a-2"], ["a-3", "a-4"], ["a-2-2", "a-2-3"], ["b", "b-2"]]


def test_a_folder_leaves_no_trace_of_the_check(tmp_path):
    make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_json_has_no_infinite_numbers():
    assert json_text({"psnr": float("inf"), "share": float("nan"), "é": 0.1}) == (
        '{"psnr": null, "share": null, "\\u00e9": 0.1}'
    )
