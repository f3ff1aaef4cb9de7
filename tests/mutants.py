"""How many random faults do the tests notice?

    python tests/mutants.py search explanation audit --count 100 --out build/mutants.json      about an hour of a core

Each mutant is one small change of one expression in a copy of the project; it is killed when a test of it fails.
Survivors are listed with their line. The choice follows the seed, and rows are kept one by one, so that a run goes on
where it was stopped.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "search": ("search", "engine", "method", "generators/test_generators.py"),
    "explanation": ("explanation", "report/test_lesion_page.py", "cli/test_explain.py"),
    "audit": ("audit", "report/test_audit_page.py", "cli/test_audit.py"),
}
SWAPPED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}  # fmt: skip
LIMIT = 300
"""Seconds for the tests of one mutant; one that hangs is killed by that."""


def mutated(node: ast.AST) -> ast.AST | None:
    """The node with one small fault; None where it has no such."""
    new = copy.deepcopy(node)
    if isinstance(new, ast.Compare) and type(new.ops[0]) in SWAPPED:
        new.ops[0] = SWAPPED[type(new.ops[0])]()
    elif isinstance(new, ast.BinOp | ast.BoolOp) and type(new.op) in SWAPPED:
        new.op = SWAPPED[type(new.op)]()
    elif isinstance(new, ast.If | ast.IfExp):
        new.test = ast.UnaryOp(ast.Not(), new.test)
    elif isinstance(new, ast.Constant) and isinstance(new.value, bool):
        new.value = not new.value
    elif isinstance(new, ast.Constant) and isinstance(new.value, int | float):
        new.value = new.value + 1
    else:
        return None
    return ast.fix_missing_locations(ast.copy_location(new, node))


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Parent, field and index of every node outside of annotations, raised messages and type checks."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list") or isinstance(tree, ast.Raise):
            continue
        if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                yield tree, field, index
                yield from places(child)


def candidates(package: str) -> list[tuple[Path, int]]:
    """Every possible mutant of a package: file, and number of the place in it."""
    found = []
    for path in sorted((ROOT / "cfexplain" / package).rglob("*.py")):
        tree = ast.parse(path.read_text())
        found += [(path, k) for k, place in enumerate(places(tree)) if mutated(_get(*place)) is not None]
    return found


def source(path: Path, number: int) -> tuple[str, str]:
    """The file with this mutant, and what was changed."""
    tree = ast.parse(path.read_text())
    parent, field, index = list(places(tree))[number]
    old = _get(parent, field, index)
    new = mutated(old)
    assert new is not None
    if index is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[index] = new
    shown = [ast.unparse(n.test if isinstance(n, ast.If) else n) for n in (old, new)]
    return ast.unparse(tree), f"{path.relative_to(ROOT)}:{old.lineno}: {' -> '.join(shown)}"  # type: ignore[attr-defined]


def survives(copied: Path, path: Path, text: str, package: str) -> bool:
    """Whether the package's tests pass with this file."""
    target = copied / path.relative_to(ROOT)
    before = target.read_text()
    target.write_text(text)
    tests = [f"tests/{name}" for name in TESTS[package] if (copied / "tests" / name).exists()]
    folders = [str(copied / part) for part in ("", "classifiers", "datasets", "tests")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *tests]
    try:
        done = subprocess.run(
            command, cwd=copied, capture_output=True, timeout=LIMIT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)}, check=False,
        )  # fmt: skip
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        target.write_text(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", choices=TESTS)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants.json")
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(given.out.read_text()) if given.out.exists() else []
    every = [(package, *one) for package in given.packages for one in candidates(package)]
    chosen = random.Random(given.seed).sample(every, given.count)
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "copy"
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".git", "runs", "out", "build", ".venv", "results"))
        for package, path, number in chosen[len(rows) :]:
            text, what = source(path, number)
            rows.append({"mutant": what, "killed": not survives(copied, path, text, package)})
            given.out.write_text(json.dumps(rows, indent=1))
            print("killed  " if rows[-1]["killed"] else "SURVIVED", what, flush=True)
    print(f"{sum(row['killed'] for row in rows)} of {len(rows)} killed")


def _get(parent: ast.AST, field: str, index: int | None) -> ast.AST:
    value = getattr(parent, field)
    found: ast.AST = value if index is None else value[index]
    return found


if __name__ == "__main__":
    main()
