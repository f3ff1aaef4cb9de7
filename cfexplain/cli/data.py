"""`cfexplain data check`: what a data set holds."""

import typer

from cfexplain.cli import terminal

data_app = typer.Typer(no_args_is_help=True, help="Inspect a data set before it is used.")
terminal.app.add_typer(data_app, name="data")


@terminal.command("check", data_app)
def check(data: terminal.Dataset, dataset: terminal.Reader = "auto", as_json: terminal.Json = False) -> terminal.Output:
    """Print counts, classes, splits, leaks and oddities of a data set.

    Exit codes: 0: no leaks, 1: the splits leak, 2: bad usage or input.
    """
    from cfexplain.plugins import plugin

    datasets = plugin("datasets")
    report = datasets.check(datasets.open_dataset(dataset, data))
    yield terminal.json_text(report.to_dict()) if as_json else str(report)
    yield terminal.FAILED if report.leaks else terminal.OK
