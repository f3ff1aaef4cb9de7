"""Classifiers and their data: train, judge, data check, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cfexplain.cli.app import Device, Seed, app, errors

data_app = typer.Typer(no_args_is_help=True, help="Look at a data set before it is used.")
app.add_typer(data_app, name="data")


@app.command()
def train(
    dataset: Annotated[
        str, typer.Option(help="ham10000, isic2016..isic2020, folder, csvfile, auto, or module:function.")
    ],
    data: Annotated[Path, typer.Option(help="Where the data set lies.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted one goes on.")],
    backbone: Annotated[str, typer.Option(help="Any timm model.")] = "mobilenetv2_100",
    image_size: Annotated[int, typer.Option(min=32)] = 128,
    weights: Annotated[Path | None, typer.Option(help="Local ImageNet weights of the backbone (safetensors).")] = None,
    pretrained: Annotated[bool, typer.Option(help="Start from timm's own download.")] = False,
    epochs: Annotated[int, typer.Option(min=1)] = 16,
    batch_size: Annotated[int, typer.Option(min=2)] = 64,
    learning_rate: Annotated[float, typer.Option(min=0)] = 7e-4,
    balance: Annotated[float, typer.Option(min=0, max=1, help="0 natural class frequencies, 1 equal.")] = 0.5,
    workers: Annotated[int, typer.Option(min=0)] = 1,
    adversarial: Annotated[
        float, typer.Option(min=0, max=0.2, help="Train on images attacked by at most so much, such as 0.008.")
    ] = 0.0,
    disturbed: Annotated[
        float, typer.Option(min=0, max=0.2, help="Show the estimator attacked and corrupted images, such as 0.02.")
    ] = 0.0,
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Leave out images that stand in two splits.")
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train a classifier jointly with its loss estimator."""
    from cfexplain.cli.command import train as command

    with errors():
        recipe = {
            "backbone": backbone,
            "image_size": image_size,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "balance": balance,
            "workers": workers,
            "adversarial": adversarial,
            "disturbed": disturbed,
            "seed": seed,
        }
        path = command.train(
            dataset, data, out, recipe, weights, pretrained, device, lambda line: typer.echo(line, err=True), drop_leaks
        )
        typer.echo(f"the classifier is {path}")


@app.command()
def judge(
    classifier: Annotated[str, typer.Argument(help="A run, FILE.safetensors, or a shipped name.", metavar="RUN")],
    data: Annotated[Path, typer.Option(help="Where the data set lies.")],
    dataset: Annotated[str, typer.Option(help="Reader of the data set.")] = "auto",
    split: Annotated[str, typer.Option(help="Which split to judge on.")] = "test",
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for judgement.json and reliability.png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Measure a classifier and its loss estimator on labelled images it has not seen."""
    from cfexplain.cli.command import train as command
    from cfexplain.cli.command.lookup import finite

    with errors():
        judgement = command.judge(classifier, dataset, data, split, device, out)
        typer.echo(json.dumps(finite(judgement), allow_nan=False) if as_json else command.judgement_text(judgement))


@data_app.command("check")
def data_check(
    folder: Annotated[Path, typer.Argument(help="Folder or table of a data set.", metavar="DIR")],
    dataset: Annotated[str, typer.Option(help="Reader of the data set.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Print counts, classes, splits, leaks and oddities. Exit code 1 where splits leak."""
    from cfexplain.cli.command import train as command

    with errors():
        report = command.check_data(dataset, folder)
        typer.echo(json.dumps(report.to_dict()) if as_json else str(report))
    raise typer.Exit(1 if report.leaks else 0)


@app.command()
def doctor() -> None:
    """Print versions, devices and what is shipped, and explain one synthetic lesion as a check."""
    from cfexplain.cli.command import train as command

    with errors():
        for line in command.doctor():
            typer.echo(line)
