"""What all commands share: the application, options, exit codes, one sentence an error, a progress bar."""

from __future__ import annotations

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
BAD_USE, BUG = 2, 70
Images = Annotated[list[Path], typer.Argument(help="Pictures: JPEG, PNG, TIFF, BMP or WebP.", metavar="IMAGE...")]
ClassifierName = Annotated[
    str,
    typer.Option("--classifier", help="ham10000, isic2017, synthetic, a run, FILE.safetensors, or module:function."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]


@contextmanager
def errors() -> Iterator[None]:
    """Turn what a user can mend into one sentence and exit code 2."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        typer.echo("cfexplain: stopped; what was finished is kept", err=True)
        raise typer.Exit(BAD_USE) from None
    except (ValueError, TypeError) as error:
        typer.echo(f"cfexplain: {error}", err=True)
        raise typer.Exit(BAD_USE) from None
    except BrokenPipeError:
        raise  # who reads has gone; click ends quietly
    except OSError as error:
        typer.echo(f"cfexplain: {error.filename or 'input'}: {error.strerror or error}", err=True)
        raise typer.Exit(BAD_USE) from None
    except Exception:
        from traceback import format_exc

        typer.echo(f"{format_exc()}cfexplain: this should not happen; please report it with the lines above", err=True)
        raise typer.Exit(BUG) from None


Show = Callable[[str, int, int, dict[str, float]], Any]


@contextmanager
def progress() -> Iterator[Show | None]:
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
