"""README's Python and that of the documentation's pages run as they stand."""

import re
from pathlib import Path

import pytest
import torch

import cfexplain
import cfexplain_classifiers
from cfexplain import METRICS
from cfexplain.images import save_png
from cfexplain_datasets.synthetic import SyntheticLesions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks():
    """Every block of Python once, by the page that has it first."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "howto").glob("*.md"))]
    found = {}
    for page in pages:
        for code in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
            found.setdefault(code, page.name)
    return found


BLOCKS = blocks()


def test_readme_is_short():
    assert len(README.splitlines()) <= 200
    assert README.count("```python") >= 3


@pytest.mark.parametrize("code", BLOCKS, ids=BLOCKS.values())
def test_examples_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_png("lesion.jpg", SyntheticLesions(2, 160, split="test")[0].image)
    if "result.json" in code:
        classifier = cfexplain_classifiers.load("synthetic")
        edit = cfexplain.explain(classifier, torch.full((1, 3, 64, 64), 0.6), method=cfexplain.PIXELS)
        Path("out").mkdir()
        cfexplain.save(cfexplain.describe(edit, classifier), "out/lesion")
    known = dict(METRICS)
    exec(compile(code, "example", "exec"), {})
    for name in set(METRICS) - set(known):  # an example that registers a metric must not change other tests
        del METRICS[name]
    if "cfexplain.save" in code:
        assert Path("out/lesion/result.json").exists()
