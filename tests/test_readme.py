"""README's Python runs as it stands, and the links of the pages point at files that exist."""

import re
from pathlib import Path

import pytest

from cfexplain.images import save_png
from cfexplain_datasets.synthetic import SyntheticLesions

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_there_are_examples():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_run(code, tmp_path, monkeypatch):
    save_png(tmp_path / "lesion.jpg", SyntheticLesions(2, 160, split="test")[0].image)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    if "cfexplain.save" in code:
        assert (tmp_path / "out" / "lesion" / "result.json").exists()


@pytest.mark.parametrize("page", ["README.md", "docs/measured.md"])
def test_links_point_at_files(page):
    path = Path(__file__).parents[1] / page
    links = re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", path.read_text())
    assert len(links) > (15 if page == "README.md" else 0)
    assert [link for link in links if not (path.parent / link).exists()] == []
