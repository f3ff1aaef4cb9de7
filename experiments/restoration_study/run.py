"""One run on one image, kept under runs/restoration/: its peak against the truth, and the output of each stop rule."""

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
from cfexplain.method.stop import Step
from cfexplain.restore import (
    PRESETS,
    Averaged,
    HeldOut,
    MovingVariance,
    Restoration,
    Run,
    WindowedVariance,
    denoise,
    fast,
    inpaint,
    superresolve,
)
from cfexplain.terms.low_resolution import upsample
from cfexplain.types import Problem
from restoration_study.part import PARTS, RUNS
from restoration_study.quality import ssim


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
    """A run on one image: part of the study, image, preset, steps in place of the preset's, seed."""

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
        """The row; the images lie beside it."""
        steps = "" if self.steps is None else f"-{self.steps}"
        return RUNS / self.part / f"{self.preset}-{self.seed}{steps}" / f"{self.image}.json"


class Observer:
    """A callback that measures a run against the truth, of which the run itself sees nothing."""

    def __init__(self, case: Case, truth: Tensor, every: int) -> None:
        self.case, self.truth, self.every = case, truth, every
        problem = Problem(truth)
        self.average, self.last = Averaged(0.99).start(problem), truth
        rules = {"wmv": WindowedVariance(), "emv": MovingVariance()}
        rules |= {f"{name} average": Averaged(0.99, until=rule) for name, rule in rules.items()}
        denoising = case.part.startswith("denoising")
        self.rules: dict[str, Any] = {n: rule.start(problem) for n, rule in rules.items() if denoising}
        self.chosen: dict[str, dict[str, float]] = {}
        self.kept: dict[str, dict[str, float]] = {}
        self.curve: list[tuple[float, ...]] = []

    def psnr(self, image: Tensor) -> float:
        """By the part's measure."""
        return PARTS[self.case.part].measure(image, self.truth)

    def __call__(self, step: Step) -> bool:
        """Whether every rule has stopped."""
        self.average(step)
        self.last = step.image
        for name, rule in self.rules.items():
            if name not in self.chosen and rule(step):
                self.choose(name, step.index)
        if step.index % self.every == 0:
            self.curve.append((step.index, self.psnr(step.image), self.psnr(self.average.chosen())))
        if step.index + 1 in (1800, 3000):
            both = {"raw": self.psnr(step.image), "average": self.psnr(self.average.chosen())}
            self.kept[f"at {step.index + 1}"] = both
        return len(self.chosen) == len(self.rules)

    def choose(self, name: str, step: int) -> None:
        """Keep what a rule chooses."""
        self.chosen[name] = {"psnr": self.psnr(self.rules[name].chosen()), "stopped": step}

    def finish(self, last: int) -> dict[str, Any]:
        """All of it; rules that never stopped choose at the last step."""
        alone = sorted(self.chosen)
        for name in self.rules.keys() - self.chosen.keys():
            self.choose(name, last)
        curve, kinds = np.array(self.curve), {"raw": 1, "average": 2}
        return {
            "rules": {name: self.chosen[name] for name in self.rules},
            "kept": self.kept,
            "peak": {kind: float(curve[:, k].max()) for kind, k in kinds.items()},
            "peak_at": {kind: int(curve[curve[:, k].argmax(), 0]) for kind, k in kinds.items()},
            "stopped_by_itself": alone,
        }


@dataclass(frozen=True)
class Until:
    """A stop rule: goes on until the observer's rules have all stopped and the least steps are done."""

    observer: Observer
    least: int

    def start(self, problem: Problem) -> Any:
        """Begin."""
        return lambda step: self.observer(step) and step.index + 1 >= self.least


@dataclass(frozen=True, kw_only=True)
class UntilHeldOut(HeldOut):
    """The same on a run that leaves pixels out, so that the rule that reads them is one of the observer's."""

    observer: Observer
    least: int

    def start(self, problem: Problem) -> Any:
        """Begin."""
        self.observer.rules["held out average"] = super().start(problem)
        return Until(self.observer, self.least).start(problem)


def run(case: Case, device: str, every: int) -> None:
    """Run what is not done yet, or not at these settings: row and images."""
    settings = repr(case.method)
    if case.path.exists() and json.loads(case.path.read_text()).get("settings", settings) == settings:
        return
    case.path.parent.mkdir(parents=True, exist_ok=True)
    truth, given, extra = (x.to(device) if isinstance(x, Tensor) else x for x in PARTS[case.part].load(case.image))
    observer = Observer(case, truth, every)
    found, average = restored(case, given, extra, observer), observer.average.chosen()
    untreated = upsample(given, extra) if case.part.startswith("super") else given
    row = asdict(case) | {
        "steps": found.steps[0], "seconds": found.seconds, "device": device, "threads": torch.get_num_threads(),
        "method": found.method, "settings": settings, "input": observer.psnr(untreated), "last": observer.psnr(observer.last),
        "average": observer.psnr(average), "ssim": ssim(average, truth), "size": list(truth.shape[-2:]),
        **observer.finish(found.steps[0] - 1),
    }  # fmt: skip
    for kind, image in (("last", observer.last), ("average", average)):
        save_png(case.path.with_name(f"{case.image}-{kind}.png"), image[0].cpu().expand(3, -1, -1))
    case.path.write_text(json.dumps(row, indent=1))
    shown = {k: round(row[k], 2) for k in ("input", "last", "average")}
    print(case.part, case.image, case.preset, f"seed {case.seed}: {shown} {found.seconds:.0f} s", flush=True)


def restored(case: Case, given: Tensor, extra: Any, observer: Observer) -> Restoration:
    """By the part's verb. Denoising goes on until all rules have stopped; what they chose is read on the way.

    Of the middles 2 % of the pixels are held out, so that all rules are judged on one run.
    """
    method = case.method
    if case.part.startswith("denoising"):
        steps, least = case.steps or max(5000, method.edit.steps), method.edit.steps
        held = case.part == "denoising-middle"
        until = UntilHeldOut(observer=observer, least=least) if held else Until(observer, least)
        return denoise(
            given, method=replace(method, edit=replace(method.edit, steps=steps, stop=until)), run=Run(case.seed)
        )
    verb = inpaint if case.part == "inpainting" else superresolve
    return verb(given, extra, method=method, run=Run(case.seed, watch=observer))
