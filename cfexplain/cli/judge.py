"""`cfexplain judge`: how good a classifier and its loss estimator are."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cfexplain.cli import terminal


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
