"""The documentation names what there is: public names, examples, links, the changelog's new names."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from cfexplain.explanation.record import Record, schema

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGES = {
    "cfexplain": "explain",
    "cfexplain.attribution": "attribution",
    "cfexplain.audit": "audit",
    "cfexplain.restore": "restore",
    "cfexplain.terms": "terms",
    "cfexplain.generators": "generators",
    "cfexplain_classifiers": "classifiers",
    "cfexplain_datasets": "datasets",
}
RENAMED = re.findall(r"^\| `cfexplain\.(\w+)` \| (.+) \|$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(path for path in DOCS.rglob("*.md") if not {"_generated", "gallery"} & set(path.parts)),
]


def public_names(package):
    module = import_module(package)
    imported = [name for name, value in vars(module).items() if not isinstance(value, ModuleType) and name[0] != "_"]
    return set(getattr(module, "__all__", imported))


@pytest.mark.parametrize("package", PACKAGES)
def test_reference_holds_the_public_names(package):
    page = (DOCS / "reference" / f"{PACKAGES[package]}.md").read_text()
    listed = re.findall(rf"^\.\. auto\w+:: {re.escape(package)}\.(\w+)$", page, flags=re.MULTILINE)
    elsewhere = public_names("cfexplain") if package == "cfexplain.attribution" else set()
    assert len(listed) == len(set(listed))
    assert set(listed) == public_names(package) - elsewhere


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_point_at_files(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text)
    built = [link for link in links if "gallery" in link]
    assert [link for link in links if link not in built and not (page.parent / link).exists()] == []


def test_every_page_is_in_the_contents():
    contents = (DOCS / "index.md").read_text() + (DOCS / "reference" / "index.md").read_text()
    pages = {path.stem for path in PAGES if DOCS in path.parents} - {"index"}
    assert {page for page in pages if not re.search(rf"^(\w+/)?{page}$", contents, flags=re.MULTILINE)} == set()


def test_examples_need_no_data():
    examples = sorted((ROOT / "examples").glob("plot_*.py"))
    assert len(examples) >= 8
    for path in examples:
        text = path.read_text()
        assert re.match(r'"""\n(.+)\n=+\n', text), path.name
        assert "SyntheticLesions" in text, path.name
        assert "open(" not in text, path.name


def test_glossary_defines_each_term_once_in_order():
    block = re.search(r"```\{glossary\}\n(.*?)```", (DOCS / "glossary.md").read_text(), flags=re.DOTALL)
    assert block
    terms = re.findall(r"^(\S.*)$", block[1], flags=re.MULTILINE)
    assert terms == sorted(set(terms), key=str.lower)


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_renamed_names_are_gone_and_there(old, new):
    public = import_module("cfexplain")
    names = re.findall(r"`cfexplain\.(\w+)`", new)
    assert names
    assert not hasattr(public, old)
    assert set(names) <= set(public.__all__)


def test_schema_describes_the_record():
    found = schema()
    definition = found["$defs"][found["$ref"].rsplit("/", 1)[-1]]
    assert set(definition["properties"]) == set(Record.__dataclass_fields__)
