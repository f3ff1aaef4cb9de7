"""The command line: the only place that prints. Heavy imports wait until a command works."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What is the smallest natural change to this lesion that would change the model's mind? Research use only.",
)
data_app = typer.Typer(no_args_is_help=True, help="Look at a data set before it is used.")
app.add_typer(data_app, name="data")

BAD_USE = 2
Images = Annotated[list[Path], typer.Argument(help="Pictures: JPEG, PNG, TIFF, BMP or WebP.", metavar="IMAGE...")]
ClassifierName = Annotated[
    str,
    typer.Option("--classifier", help="ham10000, isic2017, synthetic, a run, FILE.safetensors, or module:function."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]


@app.command()
def explain(
    images: Images,
    classifier: ClassifierName,
    target: Annotated[str, typer.Option(help="Class to reach; auto is the second most likely.")] = "auto",
    method: Annotated[
        str, typer.Option(help="natural, without-estimator, regularised-dip, dip, disc, tv, pixels; or module:NAME.")
    ] = "natural",
    mask: Annotated[Path | None, typer.Option(help="White where the image may change.")] = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with so many seeds and show where they agree.")] = 1,
    confidence: Annotated[
        float | None, typer.Option(help="Probability of the target to reach, over views where the method has some.")
    ] = None,
    oracle: Annotated[
        list[str] | None,
        typer.Option(help="Independent classifier that judges; repeat it; none for no one.", show_default="witness"),
    ] = None,
    path: Annotated[bool, typer.Option("--path", help="Also write the way there: path.gif and path.png.")] = False,
    budget: Annotated[float | None, typer.Option(min=0.0, help="Seconds an image.")] = None,
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="A folder a picture is made in it.")] = Path("out"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one record a line instead of sentences.")] = False,
) -> None:
    """Explain the prediction of each picture by a counterfactual.

    Exit code 0: all explained; 1: some not found; 2: bad usage or input.
    """
    from cfexplain import command

    job = command.Job(
        classifier, target, method, mask, seed, budget, device, out, confidence, tuple(oracle or ()), path, seeds
    )
    records, failures = [], []
    with _errors():
        prepared = job.prepare(images)
        for picture, folder in prepared.folders(images):
            try:
                with _progress() as show:
                    record = prepared.explain(picture, folder, show)
            except ValueError as error:
                failures.append(str(error))
                typer.echo(f"cfexplain: {error}", err=True)
                continue
            records.append(record)
            typer.echo(json.dumps(record) if as_json else command.sentence(record, folder))
    if failures:
        raise typer.Exit(BAD_USE)
    raise typer.Exit(0 if all(r["status"] in ("found", "already_target") for r in records) else 1)


@app.command()
def compare(
    images: Images,
    classifier: ClassifierName,
    methods: Annotated[str, typer.Option("--with", help="Methods with commas, or all.", show_default="eight")] = "",
    target: Annotated[str, typer.Option(help="Class of the counterfactual; auto is the second most likely.")] = "auto",
    method: Annotated[str, typer.Option(help="Of the counterfactual, as in explain.")] = "natural",
    mask: Annotated[Path | None, typer.Option(help="White on the lesion: a picture, or a folder of STEM.png.")] = None,
    seed: Seed = 0,
    budget: Annotated[float | None, typer.Option(min=0.0, help="Seconds a counterfactual.")] = None,
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="A folder a picture is made in it.")] = Path("out"),
) -> None:
    """Compare attribution maps with what the counterfactual shows. Exit codes are those of explain.

    Methods: saliency, input-x-gradient, integrated-gradients (also with -blurred and -counterfactual), smoothgrad,
    gradcam, guided-gradcam, gradient-shap, deep-lift, occlusion, superpixels.
    """
    from cfexplain import command
    from cfexplain.attribution.report import Asked, Report, named, sentence

    failed = False
    with _errors():
        job = command.Job(classifier, target, method, None, seed, budget, device, out, oracles=("none",))
        prepared = job.prepare(images)
        asked = Asked(prepared.target, prepared.method, seed, budget, command.device_of(device))
        report = Report(prepared.classifier, named(methods), asked, mask)
        for picture, folder in prepared.folders(images):
            try:
                typer.echo(sentence(report.compare(picture, folder), str(picture)))
            except ValueError as error:
                failed = True
                typer.echo(f"cfexplain: {error}", err=True)
        report.save(out)
    raise typer.Exit(BAD_USE if failed else 0 if all(row["found"] for row in report.rows) else 1)


@app.command()
def invert(
    images: Images,
    classifier: ClassifierName,
    out: Annotated[Path, typer.Option(help="Folder for pictures and numbers.")],
    layers: Annotated[
        str, typer.Option(help="Taps, 0 the shallowest, each inverted alone: 0,2,4; all by default.")
    ] = "",
    method: Annotated[str, typer.Option(help="dip or tv.")] = "dip",
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Paint what the classifier still knows of a picture at each layer: pre-images of its latent encodings."""
    from cfexplain import command

    with _errors():
        job = command.Job(classifier, "auto", "natural", None, seed, None, device, out)
        prepared = job.prepare(images)
        for path, folder in prepared.folders(images):
            with _progress() as show:
                lines = list(prepared.invert(path, folder, layers, method, show))
            typer.echo("\n".join(lines))


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
    from cfexplain import command

    with _errors():
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
    from cfexplain import command

    with _errors():
        judgement = command.judge(classifier, dataset, data, split, device, out)
        typer.echo(json.dumps(judgement) if as_json else command.judgement_text(judgement))


@data_app.command("check")
def data_check(
    folder: Annotated[Path, typer.Argument(help="Folder or table of a data set.", metavar="DIR")],
    dataset: Annotated[str, typer.Option(help="Reader of the data set.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Print counts, classes, splits, leaks and oddities. Exit code 1 where splits leak."""
    from cfexplain import command

    with _errors():
        report = command.check_data(dataset, folder)
        typer.echo(json.dumps(report.to_dict()) if as_json else str(report))
    raise typer.Exit(1 if report.leaks else 0)


@app.command()
def doctor() -> None:
    """Print versions, devices and what is shipped, and explain one synthetic lesion as a check."""
    from cfexplain import command

    with _errors():
        for line in command.doctor():
            typer.echo(line)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out/demo"),
    seed: Seed = 0,
) -> None:
    """Explain a synthetic lesion with the shipped `synthetic` classifier: no data and no network needed."""
    from cfexplain import command

    with _errors():
        with _progress() as show:
            record = command.demonstrate(out, seed, show)
        folder = out / Path(record["image"]).stem
        typer.echo(command.sentence(record))
        typer.echo(f"look at {folder / 'panel.png'}; the exact numbers are in {folder / 'result.json'}")
    raise typer.Exit(0 if record["status"] == "found" else 1)


@contextmanager
def _errors() -> Iterator[None]:
    """Turn what a user can mend into one sentence and exit code 2."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("cfexplain: stopped; what was finished is kept", err=True)
        raise typer.Exit(BAD_USE) from None
    except (ValueError, TypeError) as error:
        typer.echo(f"cfexplain: {error}", err=True)
        raise typer.Exit(BAD_USE) from None
    except OSError as error:
        typer.echo(f"cfexplain: {error.filename or 'input'}: {error.strerror or error}", err=True)
        raise typer.Exit(BAD_USE) from None


Show = Callable[[str, int, int, dict[str, float]], Any]


@contextmanager
def _progress() -> Iterator[Show | None]:
    """A progress bar on a terminal for one picture, gone when it is done; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None, state="")

        def show(name: str, step: int, total: int, values: dict[str, float]) -> None:
            state = "  ".join(f"{k} {v:.3g}" for k, v in values.items())
            bar.update(task, description=name, completed=step + 1, total=total, state=state)

        yield show


def main() -> None:
    """Entry point of the `cfexplain` command."""
    app()


if __name__ == "__main__":
    main()
