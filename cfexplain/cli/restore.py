"""`cfexplain restore`: the prior on its own, on picture files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from cfexplain.restore import Restoration
    from cfexplain.restore.picture import Picture
    from cfexplain.solve import Method
    from cfexplain.stop import Step

restore_app = typer.Typer(
    no_args_is_help=True,
    help="Restore pictures by an untrained network alone: no classifier, no training. Slow on a CPU: begin with "
    "--preset fast.",
)

Source = Annotated[Path, typer.Argument(help="A picture of 8 or 16 bits, grey or coloured.", metavar="IMAGE")]
Out = Annotated[Path, typer.Option(help="File to write; PNG and TIFF keep 16 bits and transparency.")]
Preset = Annotated[str, typer.Option(help="paper: the published settings; fast: a narrow net, fewer steps.")]
Stop = Annotated[
    str, typer.Option(help="fixed: the published steps; wmv, emv: when the paintings vary least (early stop).")
]
Steps = Annotated[int | None, typer.Option(min=1, help="At most so many steps, in place of the preset's.")]
Runs = Annotated[int, typer.Option(min=1, help="Average so many runs, each from a seed of its own.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]
Budget = Annotated[float | None, typer.Option(min=0.0, help="Seconds; the painting reached by then is kept.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Preview = Annotated[
    bool, typer.Option("--preview", help="Also write STEM-preview.png: before and after, side by side.")
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
    _work(method, image, out, preset, stop, steps, (seed, runs, budget), device, preview)


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
    _work("dejpeg", image, out, preset, stop, steps, (seed, runs, budget), device, preview)


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
    _work(method, image, out, preset, "fixed", steps, (seed, runs, budget), device, preview, mask=mask)


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
    name = "superresolve-8" if factor > 4 else "superresolve-4"
    _work(name, image, out, preset, "fixed", steps, (seed, runs, budget), device, preview, factor=factor)


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
    _work("flash", image, out, preset, "fixed", steps, (seed, runs, budget), device, preview, guide=guide)


@restore_app.command()
def dehair(
    image: Source,
    out: Out,
    mask: Annotated[Path | None, typer.Option(help="White on hair; found by itself where it is left out.")] = None,
    classic: Annotated[str, typer.Option(help="dullrazor or opencv instead of the prior.")] = "",
    steps: Steps = None,
    seed: Seed = 0,
    budget: Budget = None,
    device: Device = "auto",
    preview: Preview = False,
) -> None:
    """Paint skin where hair and ruler marks are. May remove clinical texture: compare with the picture as it was."""
    _work("dehair", image, out, "paper", "fixed", steps, (seed, 1, budget), device, preview, mask=mask, classic=classic)


def _work(
    name: str,
    image: Path,
    out: Path,
    preset: str,
    stop: str,
    steps: int | None,
    repeat: tuple[int, int, float | None],
    device: str,
    preview: bool,
    **inputs: Any,
) -> None:
    """Read, restore, write, and say so; exit code 2 for what a user can mend."""
    from cfexplain.cli.app import errors, progress

    with errors():
        from cfexplain.restore.picture import check_kind, read, write

        picture, method = read(image), _method(name, preset, stop, steps)
        check_kind(out, picture)
        device = _device(device)
        inputs = {k: _read_input(k, v) for k, v in inputs.items()}
        with progress() as show:
            found = _restore(picture, method, device, _run(repeat, method, show), inputs)
        out.parent.mkdir(parents=True, exist_ok=True)
        write(out, picture.of(found.image.cpu()))
        if preview:
            _write_preview(out, picture, found)
        typer.echo(_sentence(found, out))


def _restore(picture: Picture, method: Method, device: str, run: Any, inputs: dict[str, Any]) -> Restoration:
    """The verb that the inputs ask for."""
    from cfexplain import restore

    values = picture.values.to(device)
    if "factor" in inputs:
        return restore.superresolve(values, inputs["factor"], method=method, run=run)
    if "guide" in inputs:
        return restore.flash(values, inputs["guide"].to(device), method=method, run=run)
    if "classic" in inputs:
        return _dehaired(picture, method, device, run, inputs)
    if "mask" in inputs:
        return restore.inpaint(values, inputs["mask"][None].to(device), method=method, run=run)
    return restore.denoise(values, method=method, run=run)


def _dehaired(picture: Picture, method: Method, device: str, run: Any, inputs: dict[str, Any]) -> Restoration:
    from cfexplain.restore import Restoration, hair

    values = picture.values.expand(-1, 3, -1, -1)[0]
    mask = hair.hair_mask(values) if inputs["mask"] is None else hair.grown(inputs["mask"])
    if mask.shape[-2:] != values.shape[-2:]:
        raise ValueError(f"the mask is of {tuple(mask.shape[-2:])} pixels, the picture of {tuple(values.shape[-2:])}")
    if inputs["classic"]:
        ways = {"dullrazor": hair.dullrazor, "opencv": hair.opencv}
        if inputs["classic"] not in ways:
            raise ValueError(f"there is no classic way {inputs['classic']}: choose dullrazor or opencv")
        image = ways[inputs["classic"]](values, mask)[None]
        return Restoration(image, image, inputs["classic"], (0,), ("stopped",), 0.0, ())
    return hair.dehair(values.to(device), mask=mask.to(device), method=method, run=run)


def _method(name: str, preset: str, stop: str, steps: int | None) -> Method:
    """The preset's method with the wanted steps and stop."""
    from dataclasses import replace

    from cfexplain.restore import PRESETS, Averaged, MovingVariance, WindowedVariance, fast

    rules: dict[str, Any] = {"wmv": WindowedVariance(), "emv": MovingVariance()}
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name}: choose one of {', '.join(PRESETS)}")
    if preset not in ("paper", "fast") or stop not in ("fixed", *rules):
        raise ValueError("--preset is paper or fast, --stop is fixed, wmv or emv")
    method = PRESETS[name] if preset == "paper" else fast(PRESETS[name])
    edit = method.edit if stop == "fixed" else replace(method.edit, stop=Averaged(0.99, until=rules[stop]), steps=5000)
    return replace(method, edit=edit if steps is None else replace(edit, steps=steps))


def _read_input(name: str, value: Any) -> Any:
    """A file named by an option, read."""
    from cfexplain.images import load_mask
    from cfexplain.restore.picture import read

    if not isinstance(value, Path):
        return value
    return load_mask(value) if name == "mask" else read(value).values


def _run(repeat: tuple[int, int, float | None], method: Method, show: Callable[..., Any] | None) -> Any:
    from math import inf

    from cfexplain.restore import Run
    from cfexplain.restore.restoration import decibels

    def watch(step: Step) -> None:
        if show is not None:
            show(method.name, step.index, method.edit.steps, {"dB to the input": decibels(float(step.value.sum()))})

    seed, runs, budget = repeat
    return Run(seed, runs, inf if budget is None else budget, watch)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(torch.device(name))


def _write_preview(out: Path, picture: Picture, found: Restoration) -> None:
    """Input, enlarged where the output is larger, and output."""
    import torch

    from cfexplain.images import save_png

    after: Tensor = found.image.cpu().expand(-1, 3, -1, -1)
    before = picture.values.expand(-1, 3, -1, -1)
    if before.shape != after.shape:
        before = torch.nn.functional.interpolate(before, after.shape[-2:], mode="nearest")
    save_png(out.with_name(f"{out.stem}-preview.png"), torch.cat([before, after], dim=3)[0])


def _sentence(found: Restoration, out: Path) -> str:
    if not found.history:
        return f"{out}: {found.method}"
    return (
        f"{out}: {found.method}, {found.steps[-1]} steps in {found.seconds:.0f} s, "
        f"{found.history[-1]:.1f} dB to the input, {found.ending[-1].replace('_', ' ')}"
    )
