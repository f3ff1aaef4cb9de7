"""`cfexplain data check`, `train` and `judge`: a labelled data set, and classifiers with loss estimators of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cfexplain.cli import terminal

ADVERSARIAL = "Train on adversarial images within this distance, such as 0.008."
DISTURBED = "Train the estimator on images attacked within this distance and on corrupted ones, such as 0.02."

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


@terminal.command()
def train(
    dataset: Annotated[str, typer.Option(help="ham10000, isic2016..isic2020, folder, csv, auto, or module:function.")],
    data: terminal.Data,
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run in it is resumed.")],
    backbone: Annotated[str, typer.Option(help="Any timm model.")] = "mobilenetv2_100",
    image_size: Annotated[int, typer.Option(min=32, help="Pixels per side.")] = 128,
    weights: Annotated[Path | None, typer.Option(help="Local ImageNet weights of the backbone (safetensors).")] = None,
    pretrained: Annotated[bool, typer.Option(help="Start from weights that timm downloads.")] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs, at most.")] = 16,
    batch_size: Annotated[int, typer.Option(min=2, help="Images per step.")] = 64,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak of the one-cycle schedule.")] = 7e-4,
    balance: Annotated[float, typer.Option(min=0, max=1, help="0: natural class frequencies, 1: equal ones.")] = 0.5,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read images.")] = 1,
    adversarial: Annotated[float, typer.Option(min=0, max=0.2, help=ADVERSARIAL)] = 0.0,
    disturbed: Annotated[float, typer.Option(min=0, max=0.2, help=DISTURBED)] = 0.0,
    drop_leaks: Annotated[bool, typer.Option("--drop-leaks", help="Leave out images that are in two splits.")] = False,
    seed: terminal.Seed = 0,
    device: terminal.Device = "auto",
) -> terminal.Output:
    """Train a classifier jointly with its loss estimator."""
    from cfexplain.classifier.sources import device_of
    from cfexplain.plugins import plugin

    datasets, trainers = plugin("datasets"), plugin("trainers")
    terminal.make_folder(out)
    whole = datasets.with_splits(datasets.open_dataset(dataset, data)).readable()
    if len(whole.classes) < 2:
        raise ValueError(f"training needs labels of two classes or more; {data} has {len(whole.classes)}")
    whole = datasets.without_leaks(whole) if drop_leaks else whole
    typer.echo(str(whole.report), err=True)
    datasets.refuse_leaks(whole)
    training = whole.subset("train")
    recipe = {
        "backbone": backbone, "image_size": image_size, "epochs": epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "balance": balance, "workers": workers, "adversarial": adversarial,
        "disturbed": disturbed, "seed": seed,
    }  # fmt: skip
    checkpoint = trainers.train(
        recipe, (training, whole.subset("val")), out, datasets.training_augmentation,
        weights=weights, pretrained=pretrained, device=device_of(device),
        card=trainers.Card(data=f"{dataset} training split, {len(training)} images", licence="that of the data"),
        progress=lambda line: typer.echo(line, err=True),
    )  # fmt: skip
    yield f"the classifier is {checkpoint}"


@terminal.command()
def judge(
    classifier: Annotated[str, typer.Argument(help=terminal.CLASSIFIERS, metavar="RUN")],
    data: terminal.Data,
    dataset: terminal.Reader = "auto",
    split: Annotated[str, typer.Option(help="Split to judge on: test, val, train or all.")] = "test",
    device: terminal.Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for judgement.json and reliability.png.")] = None,
    as_json: terminal.Json = False,
) -> terminal.Output:
    """Measure a classifier and its loss estimator on labelled images that it was not trained on."""
    from cfexplain.classifier.sources import device_of
    from cfexplain.explanation import plot
    from cfexplain.images import write_whole
    from cfexplain.plugins import plugin

    datasets = plugin("datasets")
    samples = datasets.subset(datasets.with_splits(datasets.open_dataset(dataset, data)), split)
    judgement = plugin("trainers").judge(classifier, samples, device_of(device))
    if out is not None:
        terminal.make_folder(out)
        write_whole(out / "judgement.json", f"{terminal.json_text(judgement, indent=2)}\n".encode())
        plot.save(plot.reliability_figure(judgement["reliability"]), out / "reliability.png")
    yield from [terminal.json_text(judgement)] if as_json else lines(judgement)


def lines(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Nested numbers as lines."""
    for key, value in values.items():
        name = f"{indent}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield name
            yield from lines(value, indent + "  ")
        else:
            numbers = [f"{number:.3f}" for number in value] if isinstance(value, list) else [f"{value:.4g}"]
            yield f"{name}: {' '.join(numbers)}"
