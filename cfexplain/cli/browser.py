"""The app: a page in the browser for one lesion."""

from __future__ import annotations

from typing import Annotated

import typer

from cfexplain.cli.app import Device, app, errors


@app.command("app")
def open_app(
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            "--classifier",
            help="On offer, the first one chosen, as in explain; repeat it.",
            show_default="ham10000, synthetic",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of 127.0.0.1.", show_default="the first free from 7860")
    ] = None,
    device: Device = "auto",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> None:
    """Explain one lesion in the browser: drop a picture, watch its counterfactual grow, download the record.

    Only this computer can reach the page; uploads and results are deleted when it is closed. Ctrl-C ends it.
    """
    from cfexplain.app import launch

    def tell(address: str) -> None:
        typer.echo(f"the app is at {address} for this computer alone; end it with Ctrl-C")

    with errors():
        launch(tuple(classifier or ("ham10000", "synthetic")), device, port=port, browser=browser, tell=tell)
