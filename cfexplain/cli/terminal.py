"""What all commands share: the application, common options, printing and exit codes, errors as sentences, progress."""

from __future__ import annotations

import itertools
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    import cfexplain
    from cfexplain.method.stop import Step
    from cfexplain.search.explain import Callback

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find the smallest natural change to an image that would change a classifier's prediction. Research use only.",
)
OK, FAILED, BAD_USE, BUG = 0, 1, 2, 70  # Exit codes.

Images = Annotated[list[Path], typer.Argument(help="JPEG, PNG, TIFF, BMP or WebP files.", metavar="IMAGE...")]
CLASSIFIERS = "ham10000, isic2017, synthetic, a training run's folder, FILE.safetensors, or module:function."
Classifier = Annotated[str, typer.Option(help=CLASSIFIERS)]
Target = Annotated[str, typer.Option(help="Target class; auto is the second most likely one.")]
ORACLES = "Independent classifier for the verdict; repeatable; none for no oracle."
Oracles = Annotated[list[str] | None, typer.Option(help=ORACLES, show_default="witness")]
Dataset = Annotated[Path, typer.Argument(help="Folder or table of the data set.", metavar="DATA")]
Data = Annotated[Path, typer.Option(help="Folder or table of the data set.")]
Reader = Annotated[str, typer.Option(help="Reader of the data set.")]
PRIOR = "Weights of the prior for images other than lesions, by cfexplain pretrain."
Prior = Annotated[str | None, typer.Option(help=PRIOR, show_default="shipped, of lesions")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Budget = Annotated[float, typer.Option(min=0.0, help="Seconds per counterfactual.", show_default=False)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Out = Annotated[Path, typer.Option(help="Output folder, with one folder per image.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

Output = Iterator[str | ValueError | int]  # Lines to print, errors that do not stop a command, and exit codes.
Command = TypeVar("Command", bound=Callable[..., Output])


def command(name: str | None = None, group: typer.Typer = app) -> Callable[[Command], Command]:
    """Register a generator as a command: what it yields is printed, and the largest of its exit codes counts."""

    def register(work: Command) -> Command:
        @wraps(work)
        def run(**options: Any) -> None:
            raise typer.Exit(execute(work(**options)))

        group.command(name)(run)
        return work

    return register


def execute(output: Output) -> int:
    """Print what a command yields, and what ends it early as one sentence; return the exit code."""
    code = OK
    try:
        for item in output:
            if isinstance(item, int):
                code = max(code, item)
            elif isinstance(item, ValueError):
                code = BAD_USE
                typer.echo(f"cfexplain: {item}", err=True)
            else:
                typer.echo(item)
        return code
    except KeyboardInterrupt:
        code, text = BAD_USE, "stopped; what was finished is kept"
    except (ValueError, TypeError) as error:
        code, text = BAD_USE, str(error)
    except BrokenPipeError:
        raise  # the reader of a pipe has left; click ends quietly
    except OSError as error:
        code, text = BAD_USE, f"{error.filename or 'input'}: {error.strerror or error}"
    except Exception:
        traceback.print_exc()
        code, text = BUG, "this should not happen; please report it with the lines above"
    typer.echo(f"cfexplain: {text}", err=True)
    return code


@contextmanager
def progress(description: str) -> Iterator[Callable[..., None] | None]:
    """A progress bar on a terminal, updated by show(completed=, total=, state=, description=); None in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=None, state="")
        yield partial(bar.update, task)


@contextmanager
def watching(image: Path, method: cfexplain.Method) -> Iterator[Callback | None]:
    """A progress bar for the search of one image."""
    with progress(image.name) as show:

        def watch(index: int, stage: str, step: Step) -> None:
            assert show is not None
            descent = method.anchor if stage == "anchor" and method.anchor else method.edit
            state, total = f"objective {float(step.value.sum()):.3g}", descent.expected(step.index)
            show(description=f"{image.name}: {stage}", completed=step.index + 1, total=total, state=state)

        yield show and watch


def exit_code(status: cfexplain.Status) -> int:
    """The exit code for how a search ended."""
    return OK if status.value in ("found", "already_target") else FAILED


def result_folders(images: list[Path], out: Path, count: int = 1) -> Iterator[tuple[Path, list[Path]]]:
    """Each image with `count` folders for its results, named STEM, STEM-2, ... as far as these are free."""
    from cfexplain.images import readable

    taken: set[str] = set()
    for image in images:
        stem = readable(image.stem)
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        free = list(itertools.islice((name for name in names if name not in taken), count))
        taken.update(free)
        yield image, [out / name for name in free]


def make_folder(folder: Path) -> None:
    """Make a folder, and refuse it if nothing can be written to it."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        reason = f"cannot be written to ({error.strerror}): name another with --out"
        raise ValueError(f"the output folder {folder} {reason}") from None


def json_text(value: Any, indent: int | None = None) -> str:
    """Plain values as JSON; infinite and undefined numbers become null."""
    import msgspec

    return json.dumps(msgspec.json.decode(msgspec.json.encode(value)), indent=indent)
