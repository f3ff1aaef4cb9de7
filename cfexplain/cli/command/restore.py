"""Restoring picture files: read, restore, write, describe."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cfexplain import restore
from cfexplain.cli.command.lookup import device_of, make_folder
from cfexplain.images import load_mask, save_png
from cfexplain.method.stage import Method
from cfexplain.method.stop import Step, decibels
from cfexplain.restore import (
    PRESETS,
    Averaged,
    HeldOut,
    MovingVariance,
    Restoration,
    Run,
    WindowedVariance,
    fast,
    hair,
    reuse_memory,
)
from cfexplain.restore.picture import Picture, check_kind, read, write
from cfexplain.terms import KnownPixels, LowResolution, SamePixels

Show = Callable[[str, int, int, dict[str, float]], Any]

RULES: Mapping[str, Averaged | HeldOut] = {
    "held-out": HeldOut(),
    "wmv": Averaged(0.99, until=WindowedVariance()),
    "emv": Averaged(0.99, until=MovingVariance()),
}


@dataclass(frozen=True)
class RestoreJob:
    """What the command line asks for: `mask`, `factor`, `guide` and `classic` where the task has them."""

    method: str
    image: Path
    out: Path
    preset: str = "paper"
    stop: str = "fixed"
    steps: int | None = None
    runs: int = 1
    seed: int = 0
    budget: float | None = None
    device: str = "auto"
    preview: bool = False
    mask: Path | None = None
    factor: int | None = None
    guide: Path | None = None
    classic: str | None = None

    def run(self, show: Show | None) -> str:
        """Check all that can be checked, restore, write, and say so."""
        picture, method = read(self.image), self._method()
        check_kind(self.out, picture)
        make_folder(self.out.parent)
        reuse_memory()
        found = self._restored(picture, method, self._run(method, show))
        write(self.out, picture.of(found.image.cpu()))
        if self.preview:
            _write_preview(self.out, picture, found)
        return _sentence(found, self.out)

    def _method(self) -> Method:
        """The preset with the wanted steps and stop."""
        able = [name for name, method in PRESETS.items() if self._can(method)]
        if self.method not in able:
            raise ValueError(f"there is no method {self.method} for this: choose one of {', '.join(able)}")
        if self.preset not in ("paper", "fast"):
            raise ValueError(f"--preset is paper or fast, not {self.preset}")
        if self.stop not in ("fixed", *RULES):
            raise ValueError(f"--stop is fixed, {', '.join(RULES)}, not {self.stop}")
        method = PRESETS[self.method] if self.preset == "paper" else fast(PRESETS[self.method])
        edit = method.edit
        if self.stop != "fixed":
            edit = replace(edit, stop=RULES[self.stop], steps=max(5000, edit.steps))
        return replace(method, edit=edit if self.steps is None else replace(edit, steps=self.steps))

    def _can(self, method: Method) -> bool:
        """Whether the method does what the options ask for: its data term and its input say what it is for."""
        terms = {type(part.term) for part in method.edit.objective.parts}
        guided = getattr(getattr(method.generator, "noise", None), "kind", "") == "picture"
        masked = self.mask is not None or self.classic is not None
        data = LowResolution if self.factor is not None else KnownPixels if masked else SamePixels
        return data in terms and guided == (self.guide is not None)

    def _run(self, method: Method, show: Show | None) -> Run:
        name = "dB to the input" if len(method.edit.objective.parts) == 1 else "dB, with total variation"

        def watch(step: Step) -> None:
            if show is not None:
                show(method.name, step.index, method.edit.steps, {name: decibels(float(step.value.sum()))})

        return Run(self.seed, self.runs, math.inf if self.budget is None else self.budget, watch)

    def _restored(self, picture: Picture, method: Method, run: Run) -> Restoration:
        """By the verb that the inputs ask for."""
        device = device_of(self.device)
        values = picture.values.to(device)
        if self.factor is not None:
            return restore.superresolve(values, self.factor, method=method, run=run)
        if self.guide is not None:
            return restore.flash(values, read(self.guide).values.to(device), method=method, run=run)
        if self.classic is not None:
            return self._dehaired(picture, method, run)
        if self.mask is not None:
            return restore.inpaint(values, load_mask(self.mask)[None].to(device), method=method, run=run)
        clean = restore.dejpeg if self.method == restore.DEJPEG.name else restore.denoise
        return clean(values, method=method, run=run)

    def _dehaired(self, picture: Picture, method: Method, run: Run) -> Restoration:
        values = picture.values.expand(-1, 3, -1, -1)[0]
        mask = hair.hair_mask(values) if self.mask is None else hair.grown(load_mask(self.mask))
        hair.check_mask(mask, values)
        if self.preview and self.mask is None:  # one that was given may have that very name
            save_png(self.out.with_name(f"{self.out.stem}-mask.png"), mask.expand(3, -1, -1))
        if not self.classic:
            device = device_of(self.device)
            found = hair.dehair(values.to(device), mask=mask.to(device), method=method, run=run)
        elif self.classic in hair.CLASSIC:
            image = hair.CLASSIC[self.classic](values, mask)[None]
            found = Restoration(image, image, self.classic, (0,), ("stopped",), 0.0, ())
        else:
            raise ValueError(f"there is no classic way {self.classic}: choose {' or '.join(hair.CLASSIC)}")
        share = float((mask > 0.5).float().mean())
        told = f"{share:.1%} of the picture painted" if share else "no hair or ruler found, nothing painted"
        return replace(found, method=f"{found.method}, {told}")


def _write_preview(out: Path, picture: Picture, found: Restoration) -> None:
    """Input, enlarged where the output is larger, and output."""
    after: Tensor = found.image.cpu().expand(-1, 3, -1, -1)
    before = picture.values.expand(-1, 3, -1, -1)
    if before.shape != after.shape:
        before = torch.nn.functional.interpolate(before, after.shape[-2:], mode="nearest")
    save_png(out.with_name(f"{out.stem}-preview.png"), torch.cat([before, after], dim=3)[0])


def _sentence(found: Restoration, out: Path) -> str:
    if not found.decibels:
        return f"{out}: {found.method}"
    ending = {"exhausted": "all steps"}.get(found.ending[-1], found.ending[-1].replace("_", " "))
    return (
        f"{out}: {found.method}, {found.steps[-1]} steps in {found.seconds:.0f} s, "
        f"{found.decibels[-1]:.1f} dB to the input, {ending}"
    )
