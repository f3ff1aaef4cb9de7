"""One run on one picture, kept under runs/restoration/."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfexplain.generators import DeepImagePrior
from cfexplain.images import save_png
from cfexplain.method.stage import Method
from cfexplain.restore import PRESETS, Restoration, Run, denoise, fast, inpaint, superresolve
from cfexplain.restore.quality import ssim
from cfexplain.terms.low_resolution import upsample
from restoration_study.observer import Observer, Until, UntilHeldOut
from restoration_study.part import PARTS, RUNS


def method_of(name: str, preset: str, steps: int | None) -> Method:
    """`paper`: the published settings; `paper16`: the same in bfloat16, half the time; `fast`: the package's preset.

    `paper16-ones`: with the gains that torch begins normalisation with today; the published numbers are of drawn ones.
    """
    method = fast(PRESETS[name]) if preset == "fast" else PRESETS[name]
    if preset == "paper16-ones" and isinstance(method.generator, DeepImagePrior):
        method = replace(method, generator=replace(method.generator, gains="ones"))
    if preset.startswith("paper16"):
        method = replace(method, edit=replace(method.edit, precision="bfloat16"))
    return method if steps is None else replace(method, edit=replace(method.edit, steps=steps))


@dataclass(frozen=True)
class Case:
    """A run on one picture: part of the study, picture, preset, steps in place of the preset's, seed."""

    part: str
    image: str
    preset: str
    steps: int | None
    seed: int

    @property
    def method(self) -> Method:
        """The settings."""
        return method_of(PARTS[self.part].method, self.preset, self.steps)

    @property
    def path(self) -> Path:
        """The row; curve and pictures lie beside it."""
        of_steps = "" if self.steps is None else f"-{self.steps}"
        return RUNS / self.part / f"{self.preset}-{self.seed}{of_steps}" / f"{self.image}.json"

    def done(self) -> bool:
        """Whether it was run, and at these settings."""
        here = repr(self.method)
        return self.path.exists() and json.loads(self.path.read_text()).get("settings", here) == here


def run(case: Case, device: str, every: int) -> None:
    """Run what is not done yet: row, curve and pictures."""
    if case.done():
        return
    case.path.parent.mkdir(parents=True, exist_ok=True)
    part = PARTS[case.part]
    truth, given, extra = (x.to(device) if isinstance(x, Tensor) else x for x in part.load(case.image))
    stopping = case.part.startswith("denoising")
    observer = Observer(truth, part.measure, every, case.path.with_suffix(".npy"), stopping=stopping)
    found = restored(case, given, extra, observer)
    average = observer.average.chosen()
    row = asdict(case) | {
        "steps": found.steps[0], "seconds": found.seconds, "device": device, "threads": torch.get_num_threads(),
        "method": found.method, "settings": repr(case.method), "input": part.measure(plain(case.part, given, extra), truth),
        "last": part.measure(observer.last, truth), "average": part.measure(average, truth), "ssim": ssim(average, truth),
        "size": list(truth.shape[-2:]), **observer.finish(found.steps[0] - 1),
    }  # fmt: skip
    np.save(case.path.with_suffix(".npy"), np.array(observer.curve, dtype=np.float32))
    for kind, picture in ({"last": observer.last, "average": average} | observer.pictures).items():
        save_png(case.path.with_name(f"{case.image}-{kind}.png"), picture[0].cpu().expand(3, -1, -1))
    case.path.write_text(json.dumps(row, indent=1))
    told = {k: round(row[k], 2) for k in ("input", "last", "average")}
    print(case.part, case.image, case.preset, f"seed {case.seed}: {told} {found.seconds:.0f} s", flush=True)


def restored(case: Case, given: Tensor, extra: Any, observer: Observer) -> Restoration:
    """By the part's verb. Denoising goes on until all rules have stopped; what they chose is read on the way.

    Of the middles 2 % of the pixels are held out, so that all rules are judged on one run.
    """
    method = case.method
    if case.part.startswith("denoising"):
        wanted = max(5000, method.edit.steps) if case.steps is None else case.steps
        least = method.edit.steps
        held = case.part == "denoising-middle"
        until = UntilHeldOut(observer=observer, least=least) if held else Until(observer, least)
        method = replace(method, edit=replace(method.edit, steps=wanted, stop=until))
        return denoise(given, method=method, run=Run(case.seed))
    watched = Run(case.seed, watch=observer)
    if case.part == "inpainting":
        return inpaint(given, extra, method=method, run=watched)
    return superresolve(given, extra, method=method, run=watched)


def plain(name: str, given: Tensor, extra: Any) -> Tensor:
    """The answer without any work."""
    return upsample(given, extra) if name.startswith("super") else given
