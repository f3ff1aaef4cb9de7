"""One run on one picture, kept under runs/restoration/."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfexplain.images import save_png
from cfexplain.restore import PRESETS, Run, denoise, fast, inpaint, superresolve
from cfexplain.restore.quality import ssim
from cfexplain.solve import Method
from cfexplain.terms.low_resolution import stretch
from restoration_study.observer import Observer, Until
from restoration_study.part import PARTS, RUNS


def method_of(name: str, preset: str, steps: int | None) -> Method:
    """`paper`: the published settings; `paper16`: the same in bfloat16, half the time; `fast`: the package's preset."""
    method = fast(PRESETS[name]) if preset == "fast" else PRESETS[name]
    if preset == "paper16":
        method = replace(method, edit=replace(method.edit, precision="bfloat16"))
    return method if steps is None else replace(method, edit=replace(method.edit, steps=steps))


def run(name: str, image: str, preset: str, steps: int | None, seed: int, device: str, every: int) -> None:
    """One run on one picture: row, curve and pictures."""
    part = PARTS[name]
    path = RUNS / name / f"{preset}-{seed}{'' if steps is None else f'-{steps}'}" / f"{image}.json"
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    truth, given, extra = (x.to(device) if isinstance(x, Tensor) else x for x in part.load(image))
    method, observer = (
        method_of(part.method, preset, steps),
        Observer(truth, part.measure, every, path.with_suffix(".npy"), stopping=name.startswith("denoising")),
    )
    if name.startswith("denoising"):  # long enough to see the rules stop; averages and fixed steps are read on the way
        wanted = max(5000, method.edit.steps) if steps is None else steps
        least = method.edit.steps
        method = replace(method, edit=replace(method.edit, steps=wanted, stop=Until(observer, least)))
        found = denoise(given, method=method, run=Run(seed))
    elif name == "inpainting":
        found = inpaint(given, extra, method=method, run=Run(seed, watch=observer))
    else:
        found = superresolve(given, extra, method=method, run=Run(seed, watch=observer))
    average = observer.average.chosen()
    row = {
        "part": name, "image": image, "preset": preset, "seed": seed, "steps": found.steps[0], "seconds": found.seconds,
        "device": device, "threads": torch.get_num_threads(), "method": method.name, "input": part.measure(plain(name, given, extra), truth),
        "last": part.measure(found.painted, truth), "average": part.measure(average, truth),
        "ssim": ssim(average, truth), "size": list(truth.shape[-2:]), **observer.finish(found.steps[0] - 1),
    }  # fmt: skip
    np.save(path.with_suffix(".npy"), np.array(observer.curve, dtype=np.float32))
    for kind, picture in ({"last": found.painted, "average": average} | observer.pictures).items():
        save_png(path.with_name(f"{image}-{kind}.png"), picture[0].cpu().expand(3, -1, -1))
    path.write_text(json.dumps(row, indent=1))
    print(
        name,
        image,
        preset,
        f"seed {seed}:",
        {k: round(row[k], 2) for k in ("input", "last", "average")},
        f"{found.seconds:.0f} s",
        flush=True,
    )


def plain(name: str, given: Tensor, extra: Any) -> Tensor:
    """The answer without any work."""
    return stretch(given, extra) if name.startswith("super") else given
