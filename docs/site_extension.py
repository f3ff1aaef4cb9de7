"""What the site needs beside Sphinx: plain-text docstrings, docs of values, downloads, a schema, figures."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx_gallery.scrapers import figure_rst

HERE = Path(__file__).parent
CODE = re.compile(r"(`[^`]*`)")
TABLE = re.compile(r"\[`?([^]`]+)`?\]\((\.\./experiments/[^)]+\.md)\)")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the build."""
    app.connect("builder-inited", write_formats)
    app.connect("source-read", download_tables)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", document_value, priority=300)
    app.connect("autodoc-process-docstring", escape_plain_text, priority=400)  # before napoleon adds its own markup
    return {"parallel_read_safe": True}


def write_formats(app: Sphinx) -> None:
    """Write the JSON schema of result.json, and the columns of audits as a table, where their page includes them."""
    from cfexplain.audit import columns
    from cfexplain.explanation.record import schema

    (HERE / "_generated").mkdir(exist_ok=True)
    (HERE / "_generated" / "result.schema.json").write_text(json.dumps(schema(), indent=2) + "\n")
    lines = [f"| `{column.name}` | {column.type} | {column.unit} | {column.description} |" for column in columns()]
    table = ["| column | type | unit | |", "|---|---|---|---|", *lines]
    (HERE / "_generated" / "columns.md").write_text("\n".join(table) + "\n")


def download_tables(app: Sphinx, page: str, source: list[str]) -> None:
    """Make links to the tables of studies, which are no pages of the site, downloads."""
    source[0] = TABLE.sub(r"{download}`\1 <\2>`", source[0])


def shorten_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write default factories of dataclasses as Sphinx can parse them."""
    return (None if signature is None else signature.replace("<factory>", "..."), returns)


def document_value(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Give a value such as `cfexplain.NATURAL` the string below its assignment, instead of its class's docstring."""
    if what == "data":
        package, _, attribute = name.rpartition(".")
        lines[:] = _defined_in(package).get(attribute, [])


def escape_plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with names in backticks: nothing else in them is markup, |x - a| and x* least."""
    in_example = False
    for number, line in enumerate(lines):
        in_example = line.lstrip().startswith((">>>", "...")) or (in_example and bool(line.strip()))
        if not in_example:
            parts = CODE.split(line)
            parts[::2] = [re.sub(r"([*|\\])|(?<=\w)(_)(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            lines[number] = "".join(parts)


def last_value(block: tuple[Any, ...], block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Show the last value of a cell as a notebook does: a figure, or anything with `_repr_png_`."""
    value = block_vars["example_globals"].get("___")
    if value is block_vars.get("shown") or not (hasattr(value, "savefig") or hasattr(value, "_repr_png_")):
        return ""
    block_vars["shown"] = value
    path = next(block_vars["image_path_iterator"])
    if hasattr(value, "savefig"):
        value.savefig(path, dpi=100)
    else:
        Path(path).write_bytes(value._repr_png_())
    return str(figure_rst([path], gallery_conf["src_dir"]))


@cache
def _defined_in(package: str) -> dict[str, list[str]]:
    """The documentation of each value that a package offers, from the module that defines it."""
    module = import_module(package)
    return {name: docs for source in _sources(module) for (_, name), docs in _documented(source).items()}


def _sources(module: Any) -> Iterator[str]:
    """Names of the modules that a package imports its public names from."""
    path = Path(str(module.__file__))
    stub = path.with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else path).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield f"{module.__package__}.{node.module}" if node.level else node.module
    yield module.__name__


def _documented(module: str) -> dict[tuple[str, str], list[str]]:
    if not module.startswith("cfexplain"):
        return {}
    return ModuleAnalyzer.for_module(module).find_attr_docs()
