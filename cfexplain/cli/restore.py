"""`cfexplain restore`: image restoration by an untrained network, without a classifier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfexplain.cli import terminal

if TYPE_CHECKING:
    from torch import Tensor

    from cfexplain import Method
    from cfexplain.restore import Restoration, Run

TASKS = {
    "denoise": ("method", "preset", "stop", "runs"),
    "dejpeg": ("preset", "stop", "runs"),
    "inpaint": ("method", "mask", "preset", "runs"),
    "superres": ("factor", "preset", "runs"),
    "flash": ("flash", "preset", "runs"),
    "dehair": ("mask", "classic"),
}
"""The options that a task takes, beside those that all tasks take."""

NEEDED = {"inpaint": "--mask, white where a pixel is missing", "flash": "--flash, the same scene with flash"}
METHOD = "denoise (sigma 25), denoise-50, tv-denoise, ...; inpaint (text, scratches), inpaint-half, inpaint-hole, ..."
PRESET = "paper: the published settings; fast: a narrow net, fewer steps."
STOP = "fixed: the preset's steps; held-out: pixels left out are predicted best; wmv, emv: outputs vary least."
RUNS = "Average this many runs, each with its own seed."
BUDGET = "Seconds, after which the best so far is kept."
PREVIEW = "Also write STEM-preview.png, before and after, and the mask of hair."
MASK = "inpaint: white where a pixel is missing. dehair: white on hair, detected if left out."


@terminal.command()
def restore(
    task: Annotated[str, typer.Argument(help=f"{', '.join(TASKS)}.", metavar="TASK")],
    image: Annotated[Path, typer.Argument(help="An image of 8 or 16 bits, grey or coloured.", metavar="IMAGE")],
    out: Annotated[Path, typer.Option(help="File to write; PNG and TIFF keep 16 bits and transparency.")],
    method: Annotated[str | None, typer.Option(help=METHOD, show_default="the task")] = None,
    preset: Annotated[str | None, typer.Option(help=PRESET, show_default="paper")] = None,
    stop: Annotated[str | None, typer.Option(help=STOP, show_default="fixed")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps, at most.", show_default="the preset's")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help=RUNS, show_default="1")] = None,
    seed: terminal.Seed = 0,
    budget: Annotated[float, typer.Option(min=0.0, help=BUDGET, show_default=False)] = math.inf,
    device: terminal.Device = "auto",
    preview: Annotated[bool, typer.Option("--preview", help=PREVIEW)] = False,
    mask: Annotated[Path | None, typer.Option(help=MASK)] = None,
    factor: Annotated[int | None, typer.Option(min=2, max=8, help="superres: magnification.", show_default="4")] = None,
    flash: Annotated[Path | None, typer.Option(help="flash: the same scene with flash, of the same size.")] = None,
    classic: Annotated[str | None, typer.Option(help="dehair: dullrazor or opencv instead of the prior.")] = None,
) -> terminal.Output:
    """Restore an image by an untrained network alone: no classifier, no training.

    denoise: remove noise.
    dejpeg: remove JPEG artefacts.
    inpaint: fill in what --mask marks as missing.
    superres: enlarge.
    flash: restore a dark photograph with the help of one with flash; if it stays reddish, try another --seed.
    dehair: replace hair and ruler marks by skin. May remove clinical texture: compare with the original.

    Slow on a CPU: begin with --preset fast. Exit codes: 0: restored, 2: bad usage or input.
    """
    import torch
    from torch.nn.functional import interpolate

    from cfexplain import restore as prior
    from cfexplain.classifier.sources import device_of
    from cfexplain.images import load_mask, save_png
    from cfexplain.restore.picture import check_kind, read, write

    given = {"method": method, "preset": preset, "stop": stop, "runs": runs, "mask": mask, "factor": factor}
    chosen = method_of(task, given | {"flash": flash, "classic": classic}, steps)
    picture, place, hair = read(image), device_of(device), None
    check_kind(out, picture)
    terminal.make_folder(out.parent)
    prior.reuse_memory()
    values = picture.values.to(place)
    with terminal.watching(image, chosen) as watch:
        run = prior.Run(seed, runs or 1, budget, watch and partial(watch, 0, chosen.name))
        match task:
            case "denoise":
                result = prior.denoise(values, method=chosen, run=run)
            case "dejpeg":
                result = prior.dejpeg(values, method=chosen, run=run)
            case "superres":
                result = prior.superresolve(values, factor or 4, method=chosen, run=run)
            case "inpaint" if mask:
                result = prior.inpaint(values, load_mask(mask)[None].to(place), method=chosen, run=run)
            case "flash" if flash:
                result = prior.flash(values, read(flash).values.to(place), method=chosen, run=run)
            case "dehair":
                result, hair = dehair(values.expand(-1, 3, -1, -1)[0], mask, classic, chosen, run)
            case _:
                raise ValueError(f"restore {task} needs {NEEDED[task]}")
    write(out, picture.of(result.image.cpu()))
    if preview:
        after = result.image.cpu().expand(-1, 3, -1, -1)
        before = interpolate(picture.values.expand(-1, 3, -1, -1), after.shape[-2:])
        save_png(out.with_name(f"{out.stem}-preview.png"), torch.cat([before, after], dim=3)[0])
        if hair is not None and mask is None:  # a mask that was given may have this very name
            save_png(out.with_name(f"{out.stem}-mask.png"), hair.expand(3, -1, -1))
    yield f"{out}: {sentence(result)}"


def method_of(task: str, given: Mapping[str, Any], steps: int | None) -> Method:
    """The task's method with the options that were given; an unknown task, and options of other tasks, are refused."""
    from cfexplain import restore as prior

    if task not in TASKS:
        raise ValueError(f"there is no task {task}: use {', '.join(TASKS)}")
    if unused := [name for name, value in given.items() if value is not None and name not in TASKS[task]]:
        raise ValueError(f"restore {task} has no option --{unused[0]}")
    methods = [name for name in prior.PRESETS if task in name]
    if given["method"] not in (None, *methods):
        raise ValueError(f"there is no method {given['method']} for this: choose one of {', '.join(methods)}")
    if given["preset"] not in (None, "paper", "fast"):
        raise ValueError(f"--preset is paper or fast, not {given['preset']}")
    windowed, moving = (prior.Averaged(0.99, until=rule()) for rule in (prior.WindowedVariance, prior.MovingVariance))
    rules = {"fixed": None, "held-out": prior.HeldOut(), "wmv": windowed, "emv": moving}
    if given["stop"] not in (None, *rules):
        raise ValueError(f"--stop is {', '.join(rules)}, not {given['stop']}")
    default = {"superres": "superresolve-8" if (given["factor"] or 4) > 4 else "superresolve-4"}.get(task, task)
    method = prior.PRESETS[given["method"] or default]
    method = prior.fast(method) if given["preset"] == "fast" else method
    edit = method.edit
    if rule := rules[given["stop"] or "fixed"]:
        edit = replace(edit, stop=rule, steps=max(5000, edit.steps))
    return replace(method, edit=replace(edit, steps=steps or edit.steps))


def dehair(image: Tensor, mask: Path | None, way: str | None, method: Method, run: Run) -> tuple[Restoration, Tensor]:
    """An image (3, h, w) without hair and ruler marks, and the mask of what was replaced, shape (1, h, w)."""
    from cfexplain.images import load_mask
    from cfexplain.restore import hair

    marks = hair.hair_mask(image.cpu()) if mask is None else hair.grown(load_mask(mask))
    result = hair.dehair(image, mask=marks.to(image), method=way or method, run=run)
    share = float((marks > 0.5).float().mean())
    note = f"{share:.1%} of the image painted over" if share else "no hair or ruler found, nothing painted"
    return replace(result, method=f"{result.method}, {note}"), marks


def sentence(result: Restoration) -> str:
    """How a restoration went, in words."""
    if not result.decibels:
        return result.method
    ending = result.ending[-1].replace("exhausted", "all steps").replace("_", " ")
    steps = f"{result.steps[-1]} steps in {result.seconds:.0f} s"
    return f"{result.method}, {steps}, {result.decibels[-1]:.1f} dB to the input, {ending}"
