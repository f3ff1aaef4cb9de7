"""The walk-throughs of CONTRIBUTING.md work to the letter: their files are added to a copy of the packages and used."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
WALKS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", TEXT, flags=re.DOTALL | re.MULTILINE))
RUN = """
import json, sys, traceback

outcomes = {}
for title, code in json.load(sys.stdin).items():
    try:
        exec(compile(code, title, "exec"), {})
        outcomes[title] = ""
    except BaseException:
        outcomes[title] = traceback.format_exc()
print(json.dumps(outcomes))
"""


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def files(text):
    """New files by path, from blocks whose first line names one."""
    named = [re.match(r"# (\S+\.py)\n", block) for block in blocks(text, "python")]
    return {match[1]: match.string for match in named if match}


def usage(text):
    return next(block for block in blocks(text, "python") if not re.match(r"# \S+\.py\n", block))


def patch(root, diff):
    """Replace the removed lines by the added ones; what is to be removed must be there."""
    name, *lines = diff.splitlines()
    path = root / name.removeprefix("--- ")
    removed = "\n".join(line[1:] for line in lines if line.startswith("-"))
    added = "\n".join(line[1:] for line in lines if line.startswith("+"))
    content = path.read_text()
    assert removed in content, f"{path} does not hold {removed}"
    path.unlink()  # a link to the original
    path.write_text(content.replace(removed, added, 1))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """For each walk-through an empty text, or what went wrong."""
    root = tmp_path_factory.mktemp("copy")
    for package in ("cfexplain", "classifiers", "datasets"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                copy = root / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.symlink_to(path)
    failed, ready = {}, {}
    for title, text in WALKS.items():
        try:
            for name, content in files(text).items():
                assert (root / name).parent.is_dir(), f"there is no folder {Path(name).parent}"
                assert not (root / name).exists(), f"{name} is there already"  # a link: the original would be lost
                (root / name).write_text(content)
            for diff in blocks(text, "diff"):
                patch(root, diff)
            ready[title] = usage(text)
        except (AssertionError, OSError) as error:
            failed[title] = str(error)
    roots = (root, root / "classifiers", root / "datasets")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, roots))}
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(ready), capture_output=True, text=True, env=environment, cwd=root
    )
    assert done.returncode == 0, done.stderr
    return failed | json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("title", WALKS)
def test_walk_through(title, outcomes):
    assert outcomes[title] == ""


def test_each_addition_is_one_file():
    for title, text in WALKS.items():
        touched = {*files(text), *(diff.splitlines()[0].removeprefix("--- ") for diff in blocks(text, "diff"))}
        assert len(touched) <= 1, title


def test_the_map_names_every_room():
    tomllib = pytest.importorskip("tomllib")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [re.findall(r"cfexplain\.(\w+)", layer) for layer in contracts[0]["layers"]]
    rows = re.findall(r"^\| \d+ \| (.+?) \|", TEXT, flags=re.MULTILINE)
    assert [re.findall(r"`(\w+)`", row) for row in rows] == layers
