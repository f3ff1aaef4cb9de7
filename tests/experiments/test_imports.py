"""What a study imports is there: most studies are too long to run in tests."""

import ast
import importlib
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCRIPTS = sorted(p for p in EXPERIMENTS.rglob("*.py") if "results" not in p.parts)


def defined(path):
    """Names that a script defines or imports at its top level."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def place(script, module):
    """The script that a module's name means, or None where it is a package's."""
    name = module.replace(".", "/") + ".py"
    return next((p for p in (script.parent / name, EXPERIMENTS / name) if p.is_file()), None)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(EXPERIMENTS)))
def test_imported_names_exist(script):
    for node in ast.walk(ast.parse(script.read_text())):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        other = place(script, node.module)
        if other is not None:
            missing = {alias.name for alias in node.names} - defined(other)
            assert not missing, f"{other.name} has no {missing}"
        elif node.module.startswith("cfexplain"):
            module = importlib.import_module(node.module)
            missing = {alias.name for alias in node.names if not hasattr(module, alias.name)}
            missing -= {p.stem for p in Path(str(module.__file__)).parent.iterdir()}
            assert not missing, f"{node.module} has no {missing}"
