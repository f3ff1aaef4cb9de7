"""`cfexplain doctor` and `demo`: does an installation work?"""

import pytest
from typer.testing import CliRunner

from cfexplain.cli import app


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_doctor_tells_what_is_here():
    result = call("doctor")
    assert result.exit_code == 0, result.output
    assert "classifier ham10000: akiec, bcc" in result.stdout
    assert "found" in result.stdout


@pytest.mark.slow
def test_the_demonstration_says_where_to_look(tmp_path):
    result = call("demo", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    (page,) = tmp_path.glob("*/report.html")
    assert "malignant becomes benign" in result.stdout
    assert result.stdout.splitlines()[-1].startswith(f"look at {page}; the exact numbers are in")
    assert (tmp_path / f"{page.parent.name}.png").exists()
