"""The command line: the only place that prints. Heavy imports wait until a command works."""

from cfexplain.cli import audit as audit
from cfexplain.cli import browser as browser
from cfexplain.cli import explain as explain
from cfexplain.cli import train as train
from cfexplain.cli.app import app as app
from cfexplain.cli.restore import restore_app

app.add_typer(restore_app, name="restore")

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the `cfexplain` command."""
    app()
