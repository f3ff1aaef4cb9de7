"""What the papers show and do not measure: text, holes, flash, JPEG, and the nets of the large hole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from cfexplain.images import save_png
from cfexplain.method.stage import Method
from cfexplain.restore import denoise, flash, inpaint
from restoration_study.part import DATA, RUNS, opened
from restoration_study.run import method_of

HOLES = {
    "kate": ("inpaint",),
    "vase": ("inpaint-hole",),
    "library": ("inpaint-large-2", "inpaint-large-4", "inpaint-large", "inpaint-large-unet", "inpaint-large-resnet"),
}
FOLDER, HEIGHT = RUNS / "pictures", 240


def pictures(device: str, preset: str, steps: int | None, only: list[str]) -> None:
    """Restore what is not there yet, and a strip of them for each, under runs/restoration/pictures: not ours to publish."""
    for name, tasks in tasks_of(device).items():
        for method, task in tasks.items() if not only or name in only else ():
            path = FOLDER / f"{name}-{preset}-{method}{'' if steps is None else f'-{steps}'}.png"
            if not path.exists():
                found = task(method_of(method, preset, steps))
                save_png(path, found.image[0].cpu())
                print(name, method, preset, f"{found.seconds:.0f} s", flush=True)
        together(name, preset, list(tasks))


def tasks_of(device: str) -> dict[str, dict[str, Callable[[Method], Any]]]:
    """The tasks by image and method; each image's input is kept beside its results."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    repo = DATA / "dip_repo"
    tasks: dict[str, dict[str, Callable[[Method], Any]]] = {}
    for name, methods in HOLES.items():
        given = opened(repo / "inpainting" / f"{name}.png", "RGB").to(device)
        missing = (opened(repo / "inpainting" / f"{name}_mask.png", "L") < 0.5).float().to(device)
        save_png(FOLDER / f"{name}-input.png", (given * (1 - missing))[0].cpu())
        tasks[name] = {m: lambda method, x=given, h=missing: inpaint(x, h, method=method) for m in methods}
    dark, bright = (
        opened(repo / "flash_no_flash" / f"cave01_0{k}.jpg", "RGB").to(device) for k in ("1_noflash", "0_flash")
    )
    save_png(FOLDER / "cave-input.png", dark[0].cpu())
    tasks["cave"] = {"flash": lambda method: flash(dark, bright, method=method)}
    snail = opened(repo / "denoising" / "snail.jpg", "RGB").to(device)
    save_png(FOLDER / "snail-input.png", snail[0].cpu())
    return tasks | {"snail": {"dejpeg": lambda method: denoise(snail, method=method)}}


def together(name: str, preset: str, methods: list[str]) -> None:
    """The input and the outputs, side by side."""
    files = [FOLDER / f"{name}-input.png"]
    files += [path for method in methods for path in sorted(FOLDER.glob(f"{name}-{preset}-{method}*.png"))]
    if len(files) > 1:
        images = [Image.open(path).convert("RGB") for path in files]
        strip = [np.array(x.resize((round(x.width * HEIGHT / x.height), HEIGHT))) for x in images]
        Image.fromarray(np.concatenate(strip, axis=1)).save(FOLDER / f"{name}.jpg", quality=85)
