"""One picture after the other: explain, compare, invert, and the demonstration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cfexplain.cli.app import BAD_USE, ClassifierName, Device, Images, Seed, app, errors, progress

ANSWERED = ("found", "already_target")
"""Ends of a search after which the exit code is 0."""


@app.command()
def explain(
    images: Images,
    classifier: ClassifierName,
    target: Annotated[str, typer.Option(help="Class to reach; auto is the second most likely.")] = "auto",
    method: Annotated[
        str,
        typer.Option(
            help="natural, natural-warm, without-estimator, regularised-dip, dip, disc, tv, pixels; or module:NAME."
        ),
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
    dehair: Annotated[
        str, typer.Option(help="Take hair off first: prior, dullrazor or opencv. May remove clinical texture.")
    ] = "",
    budget: Annotated[float | None, typer.Option(min=0.0, help="Seconds an image.")] = None,
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="A folder a picture is made in it.")] = Path("out"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one record a line instead of sentences.")] = False,
) -> None:
    """Explain the prediction of each picture by a counterfactual.

    Exit code 0: all explained; 1: some not found; 2: bad usage or input.
    """
    from cfexplain.cli.command import explain as command
    from cfexplain.report import render

    job = command.Job(
        classifier, target, method, mask, seed, budget, device, out, confidence, tuple(oracle or ()), path, seeds,
        dehair,
    )  # fmt: skip
    statuses, failures = [], []
    with errors():
        prepared = job.prepare(images)
        for picture, folder in prepared.folders(images):
            try:
                with progress() as show:
                    explanation = prepared.explain(picture, folder, show)
            except ValueError as error:
                failures.append(str(error))
                typer.echo(f"cfexplain: {error}", err=True)
                continue
            statuses.append(explanation.status.value)
            typer.echo(json.dumps(explanation.to_json()) if as_json else command.sentence(explanation, folder))
        if len(statuses) > 1:
            render(out)
    if failures:
        raise typer.Exit(BAD_USE)
    raise typer.Exit(0 if all(status in ANSWERED for status in statuses) else 1)


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
    from cfexplain.attribution.report import Asked, Report, named, sentence
    from cfexplain.cli.command import explain as command
    from cfexplain.cli.command.lookup import device_of

    failed = False
    with errors():
        job = command.Job(classifier, target, method, None, seed, budget, device, out, oracles=("none",))
        prepared = job.prepare(images)
        asked = Asked(prepared.target, prepared.method, seed, budget, device_of(device))
        report = Report(prepared.classifier, named(methods), asked, mask)
        for picture, folder in prepared.folders(images):
            try:
                typer.echo(sentence(report.compare(picture, folder), str(picture)))
            except ValueError as error:
                failed = True
                typer.echo(f"cfexplain: {error}", err=True)
        report.save(out)
    raise typer.Exit(BAD_USE if failed else 0 if all(s.value in ANSWERED for s in report.statuses) else 1)


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
    from cfexplain.cli.command import explain as command

    with errors():
        job = command.Job(classifier, "auto", "natural", None, seed, None, device, out)
        prepared = job.prepare(images)
        for path, folder in prepared.folders(images):
            with progress() as show:
                lines = list(prepared.invert(path, folder, layers, method, show))
            typer.echo("\n".join(lines))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out/demo"),
    seed: Seed = 0,
) -> None:
    """Explain a synthetic lesion with the shipped `synthetic` classifier: no data and no network needed."""
    from cfexplain.cli.command import explain as command

    with errors():
        with progress() as show:
            explanation = command.demonstrate(out, seed, show)
        folder = out / Path(explanation.provenance.image).stem
        typer.echo(command.sentence(explanation))
        typer.echo(f"look at {folder / 'report.html'}; the exact numbers are in {folder / 'result.json'}")
    raise typer.Exit(0 if explanation.status.value == "found" else 1)
