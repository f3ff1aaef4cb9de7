"""`cfexplain invert`: a pre-image per layer, as files and numbers."""

import json

from typer.testing import CliRunner

from cfexplain.cli import app


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_inverting_writes_a_picture_a_layer(lesions, tmp_path):
    result = call(
        "invert",
        lesions / "lesion0.png",
        "--classifier",
        "synthetic",
        "--layers",
        "0",
        "--method",
        "tv",
        "--out",
        tmp_path,
    )
    assert result.exit_code == 0, result.output
    names = {p.name for p in (tmp_path / "lesion0").iterdir()}
    assert names == {"tv-layer0.png", "tv-layers.png", "tv-layers.json"}
    assert json.loads((tmp_path / "lesion0" / "tv-layers.json").read_text())["layers"][0]["feature_error"] < 0.2
    refused = call("invert", lesions / "lesion0.png", "--classifier", "synthetic", "--layers", "99", "--out", tmp_path)
    assert refused.exit_code == 2
    assert "0 to 5" in refused.stderr
