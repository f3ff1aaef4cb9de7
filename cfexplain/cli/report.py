"""`cfexplain report`: the pages of an explanation or an audit."""

from pathlib import Path
from typing import Annotated

import typer

from cfexplain.cli import terminal

FOLDER = "What explain or audit wrote: the folder of one image, of several, or of an audit."


@terminal.command()
def report(
    folder: Annotated[Path, typer.Argument(help=FOLDER, metavar="DIR")],
    out: Annotated[Path | None, typer.Option(help="Output folder of the pages.", show_default="DIR")] = None,
) -> terminal.Output:
    """Write report.html, a self-contained page, and a page for each case of an audit beside it."""
    from cfexplain.report import render

    yield str(render(folder, out))
