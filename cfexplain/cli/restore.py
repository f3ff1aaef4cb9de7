"""`cfexplain restore`: the prior on its own, on picture files. A command's options are the fields of a `RestoreJob`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

restore_app = typer.Typer(
    no_args_is_help=True,
    help="Restore pictures by an untrained network alone: no classifier, no training. Slow on a CPU: begin with "
    "--preset fast.",
)

Source = Annotated[Path, typer.Argument(help="A picture of 8 or 16 bits, grey or coloured.", metavar="IMAGE")]
Out = Annotated[Path, typer.Option(help="File to write; PNG and TIFF keep 16 bits and transparency.")]
Preset = Annotated[str, typer.Option(help="paper: the published settings; fast: a narrow net, fewer steps.")]
Stop = Annotated[
    str,
    typer.Option(
        help="fixed: the preset's steps; early, 5,000 at most: held-out, where pixels left out are painted best (noise "
        "only); wmv, emv, where the paintings vary least."
    ),
]
Steps = Annotated[int | None, typer.Option(min=1, help="At most so many steps, in place of the preset's.")]
Runs = Annotated[int, typer.Option(min=1, help="Average so many runs, each from a seed of its own.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]
Budget = Annotated[float | None, typer.Option(min=0.0, help="Seconds; the painting reached by then is kept.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Preview = Annotated[
    bool, typer.Option("--preview", help="Also write STEM-preview.png, before and after, and the mask of hair.")
]


@restore_app.command()
def denoise(
    image: Source,
    out: Out,
    preset: Preset = "paper",
    stop: Stop = "fixed",
    steps: Steps = None,
    runs: Runs = 1,
    seed: Seed = 0,
    budget: Budget = None,
    device: Device = "auto",
    preview: Preview = False,
    method: Annotated[
        str, typer.Option(help="denoise (sigma 25), denoise-50, denoise-sgld, denoise-decoder, tv-denoise, ...")
    ] = "denoise",
) -> None:
    """Remove noise."""
    _do(**locals())


@restore_app.command()
def dejpeg(
    image: Source,
    out: Out,
    preset: Preset = "paper",
    stop: Stop = "fixed",
    steps: Steps = None,
    runs: Runs = 1,
    seed: Seed = 0,
    budget: Budget = None,
    device: Device = "auto",
    preview: Preview = False,
) -> None:
    """Remove the blocks and ringing of JPEG."""
    _do("dejpeg", **locals())


@restore_app.command()
def inpaint(
    image: Source,
    out: Out,
    mask: Annotated[Path, typer.Option(help="White where a pixel is missing, of the picture's size.")],
    preset: Preset = "paper",
    steps: Steps = None,
    runs: Runs = 1,
    seed: Seed = 0,
    budget: Budget = None,
    device: Device = "auto",
    preview: Preview = False,
    method: Annotated[
        str, typer.Option(help="inpaint (text, scratches), inpaint-half, inpaint-hole, inpaint-large, ...")
    ] = "inpaint",
) -> None:
    """Fill in what a mask says is missing; known pixels are kept."""
    _do(**locals())


@restore_app.command()
def superres(
    image: Source,
    out: Out,
    factor: Annotated[int, typer.Option(min=2, max=8, help="Times as large on each side.")] = 4,
    preset: Preset = "paper",
    steps: Steps = None,
    runs: Runs = 1,
    seed: Seed = 0,
    budget: Budget = None,
    device: Device = "auto",
    preview: Preview = False,
) -> None:
    """Enlarge."""
    _do("superresolve-8" if factor > 4 else "superresolve-4", **locals())


@restore_app.command()
def flash(
    image: Source,
    out: Out,
    guide: Annotated[Path, typer.Option("--flash", help="The same scene with flash, of the same size.")],
    preset: Preset = "paper",
    steps: Steps = None,
    runs: Runs = 1,
    seed: Seed = 0,
    budget: Budget = None,
    device: Device = "auto",
    preview: Preview = False,
) -> None:
    """Restore a dark photograph by one with flash. Where it stays reddish, try another --seed."""
    _do("flash", **locals())


@restore_app.command()
def dehair(
    image: Source,
    out: Out,
    mask: Annotated[Path | None, typer.Option(help="White on hair, taken with a rim; found where left out.")] = None,
    classic: Annotated[str, typer.Option(help="dullrazor or opencv instead of the prior.")] = "",
    steps: Steps = None,
    seed: Seed = 0,
    budget: Budget = None,
    device: Device = "auto",
    preview: Preview = False,
) -> None:
    """Paint skin where hair and ruler marks are. May remove clinical texture: compare with the picture as it was."""
    _do("dehair", **locals())


def _do(method: str, **options: Any) -> None:
    """Restore, with a bar of progress; exit code 2 for what a user can mend."""
    from cfexplain.cli.app import errors, progress

    with errors():
        from cfexplain.cli.command.restore import RestoreJob

        job = RestoreJob(method, **options)
        with progress() as show:
            typer.echo(job.run(show))
