"""The command line: one file per command. Heavy imports, such as torch, wait until a command runs."""

from importlib import import_module
from pkgutil import iter_modules

from cfexplain.cli.terminal import app

for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")


def main() -> None:
    """Entry point of the `cfexplain` command."""
    app()
