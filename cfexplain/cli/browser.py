"""`cfexplain app`: a page in the browser that explains one image."""

from typing import Annotated

import typer

from cfexplain.cli import terminal
from cfexplain.cli.terminal import app as app

OFFERED = "ham10000", "synthetic"
CLASSIFIERS = "Classifiers to offer, as in explain, the default first; repeatable."


@terminal.command("app")
def open_app(
    classifier: Annotated[list[str] | None, typer.Option(help=CLASSIFIERS, show_default=", ".join(OFFERED))] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port.", show_default="free from 7860")] = None,
    device: terminal.Device = "auto",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> terminal.Output:
    """Explain one image in the browser: drop it in, watch the counterfactual develop, download the record.

    Only this computer can reach the page; uploads and results are deleted when it closes. End it with Ctrl-C.
    """
    from cfexplain.app import launch

    launch(
        tuple(classifier or OFFERED), device, port=port, browser=browser,
        tell=lambda address: typer.echo(f"the app is at {address} for this computer alone; end it with Ctrl-C"),
    )  # fmt: skip
    yield terminal.OK
