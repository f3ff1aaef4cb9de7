"""The command line: one file per command. Heavy imports, such as torch, wait until a command runs."""
# ruff: noqa: F401

from cfexplain.cli import audit, browser, compare, data, demo, doctor, explain, invert, judge, report, restore, train
from cfexplain.cli.terminal import app


def main() -> None:
    """Entry point of the `cfexplain` command."""
    app()
