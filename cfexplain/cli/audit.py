"""Data sets in batch: audit, and the pages that show what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfexplain.cli.app import Device, Seed, app, errors, progress


@app.command()
def audit(
    data: Annotated[Path, typer.Argument(help="Folder or table of a data set.", metavar="DATA")],
    classifier: Annotated[
        list[str], typer.Option("--classifier", help="As in explain; repeat it to audit several side by side.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the audit; started again, it goes on.")],
    dataset: Annotated[str, typer.Option(help="Reader of the data set.")] = "auto",
    split: Annotated[str, typer.Option(help="test, val, train or all.", show_default="test, if there is one")] = "auto",
    target: Annotated[str, typer.Option(help="auto (the second most likely), a class, or each.")] = "auto",
    method: Annotated[str, typer.Option(help="Of the counterfactuals, as in explain.")] = "natural",
    oracle: Annotated[
        list[str] | None, typer.Option(help="Independent classifier that judges.", show_default="witness")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many images, drawn by the hash of their names.")] = None,
    seed: Seed = 0,
    budget: Annotated[float | None, typer.Option(min=0.0, help="Seconds a question.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Questions answered together, for a GPU.")] = 1,
    engine: Annotated[
        str, typer.Option(help="local (this process), cores (all of a CPU) or ray.", show_default="cores on a CPU")
    ] = "auto",
    ray_address: Annotated[str | None, typer.Option(help="A running cluster; none starts one here.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Ray workers that share a GPU.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Threads of each worker.")] = 1,
    fail_on: Annotated[
        list[str] | None, typer.Option("--fail-on", help="Rule that must not hold, such as found<0.9; repeat it.")
    ] = None,
    anchors: Annotated[Path | None, typer.Option(help="Folder that keeps anchors for other targets.")] = None,
    device: Device = "auto",
) -> None:
    """Explain every image of a data set, and report what changes the classifier's mind, where, and for whom.

    Exit code 0: no rule holds; 1: a rule holds; 2: bad usage or input.
    """
    from cfexplain.cli.command.audit import AuditJob, outcome_text
    from cfexplain.report import render

    with errors():
        job = AuditJob(
            data, dataset, split, tuple(classifier), target, method, tuple(oracle or ()), limit, seed, budget, batch,
            engine, ray_address, workers, cores, tuple(fail_on or ()), anchors, device, out,
        )  # fmt: skip
        with progress() as show:
            done = job.run(None if show is None else lambda k, n: show("audit", k - 1, n, {"rows": k}))
        typer.echo(f"{outcome_text(done)}\nlook at {render(done.folder)}")
    raise typer.Exit(1 if done.summary.outcome == "fail" else 0)


@app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(help="What explain or audit wrote: of one lesion, of several, or an audit.", metavar="DIR")
    ],
    out: Annotated[Path | None, typer.Option(help="Where the pages go.", show_default="DIR")] = None,
) -> None:
    """Write the pages to look at: report.html, self-contained; cases of an audit beside it."""
    from cfexplain.report import render

    with errors():
        typer.echo(str(render(folder, out)))
