"""The command line, one file for each group of commands. Heavy imports, such as torch, wait until a command runs."""
# ruff: noqa: F401

from cfexplain.cli import audit, browser, compare, doctor, explain, invert, report, restore, train
from cfexplain.cli.terminal import app


def main() -> None:
    """Entry point of the `cfexplain` command."""
    app()
