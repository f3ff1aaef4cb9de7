"""The founding papers' restoration tables, ours beside the published numbers; writes results/restoration/.

    python experiments/restoration.py run --part superresolution --images butterfly      40 minutes on a core
    python experiments/restoration.py run --part denoising --device cuda
    python experiments/restoration.py run --part classic                                 BM3D, NLM, bicubic: minutes
    python experiments/restoration.py table

A run an image, kept under runs/restoration/ with its curve of PSNR over steps; finished ones are skipped. Inputs are the
authors' own noisy and masked pictures, and Set5 and Set14 reduced by Pillow's Lanczos filter, cropped to multiples of 32.
What is handed over is chosen by rules that do not see the truth: the published steps, the average, ES-WMV and ES-EMV; the
peak is written beside them only to measure the rules.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from cfexplain.images import save_png, to_uint8
from cfexplain.restore import (
    PRESETS,
    Averaged,
    MovingVariance,
    Run,
    WindowedVariance,
    denoise,
    fast,
    flash,
    inpaint,
    superresolve,
)
from cfexplain.restore.quality import luminance_psnr, psnr, ssim
from cfexplain.solve import Method
from cfexplain.stop import Step
from cfexplain.terms.low_resolution import stretch
from cfexplain.types import Problem

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CFEXPLAIN_DATA", ROOT.parent / "shared" / "data")) / "restoration"
RUNS, OUT = ROOT / "runs" / "restoration", ROOT / "experiments" / "results" / "restoration"

DENOISING = ("F16", "baboon", "hill", "kodim01", "kodim02", "kodim03", "kodim12", "lena", "peppers")
"""Of the authors' site; their `hill` is the colour House."""
INPAINTING = (
    "barbara", "boat", "house", "Lena512", "peppers256", "Cameraman256", "couple", "fingerprint", "hill", "man", "montage",
)  # fmt: skip
SET5 = ("baby", "bird", "butterfly", "head", "woman")
SET14 = (
    "baboon", "barbara", "bridge", "coastguard", "comic", "face", "flowers", "foreman", "lenna", "man", "monarch", "pepper",
    "ppt3", "zebra",
)  # fmt: skip

PUBLISHED: dict[str, dict[str, tuple[float, ...]]] = {
    "denoising": {
        "NLM, published": (31.34, 25.62, 31.49, 27.55, 30.72, 32.41, 31.74, 30.88, 30.34),
        "CBM3D, published": (32.67, 26.01, 32.72, 29.20, 32.16, 34.03, 33.14, 32.06, 30.75),
        "DIP, published pictures": (33.69, 24.51, 32.09, 28.44, 32.71, 33.79, 32.68, 32.56, 31.15),
    },
    "inpainting": {
        "Papyan, published": (28.14, 31.44, 34.58, 35.04, 31.11, 27.90, 31.18, 31.34, 32.35, 31.92, 28.05),
        "DIP, published": (32.22, 33.06, 39.16, 36.16, 33.05, 29.80, 32.52, 32.84, 32.77, 32.20, 34.54),
    },
    "superresolution": {
        "no prior, published": (30.16, 27.67, 19.82, 29.98, 25.18),
        "bicubic, published": (31.78, 30.20, 22.13, 31.34, 26.75),
        "TV, published": (31.21, 30.43, 24.38, 31.34, 26.93),
        "DIP, published": (31.49, 31.80, 26.23, 31.04, 28.93),
        "LapSRN, published": (33.55, 33.76, 27.28, 32.62, 30.72),
        "SRResNet, published": (33.66, 35.10, 28.41, 32.73, 30.60),
    },
    "superresolution14": {
        "bicubic, published": (22.44, 25.15, 24.47, 25.53, 21.59, 31.34, 25.33, 29.45, 29.84, 25.70, 27.45, 30.63, 21.78, 24.01),
        "DIP, published": (22.29, 25.53, 24.38, 25.81, 22.18, 31.02, 26.14, 31.66, 30.83, 26.09, 29.98, 32.08, 24.38, 25.71),
        "LapSRN, published": (22.83, 25.69, 25.36, 26.21, 22.90, 32.62, 27.54, 33.59, 31.98, 27.27, 31.62, 33.88, 25.36, 26.98),
        "SRResNet, published": (23.00, 26.08, 25.52, 26.31, 23.44, 32.71, 28.13, 33.80, 32.42, 27.43, 32.85, 34.28, 26.56, 26.95),
    },
    "superresolution8": {
        "no prior, published": (26.28, 24.03, 17.64, 27.94, 21.37),
        "bicubic, published": (27.28, 25.28, 17.74, 28.82, 22.74),
        "TV, published": (27.93, 25.82, 18.40, 28.87, 23.36),
        "DIP, published": (28.28, 27.09, 20.02, 29.55, 24.50),
        "LapSRN, published": (28.88, 27.10, 19.97, 29.76, 24.79),
    },
    "superresolution8of14": {
        "bicubic, published": (21.28, 23.44, 22.24, 23.65, 19.25, 28.79, 22.06, 25.37, 26.27, 23.06, 23.18, 26.55, 18.62, 19.59),
        "DIP, published": (21.38, 23.94, 22.20, 24.21, 19.86, 29.52, 22.86, 27.87, 27.93, 23.57, 24.86, 29.18, 20.12, 20.62),
        "LapSRN, published": (21.51, 24.21, 22.77, 24.10, 20.06, 29.85, 23.31, 28.13, 28.22, 24.20, 24.97, 29.22, 20.13, 20.28),
    },
}  # fmt: skip
"""Per image, recomputed from the authors' pictures where these exist; x8 with jitter .05."""

F16_CURVE = {
    0: 11.26, 200: 23.09, 400: 25.99, 600: 27.97, 800: 29.04, 1000: 29.66, 1200: 30.19, 1400: 30.59, 1550: 30.68,
    1800: 30.53, 2000: 30.20, 2400: 29.51, 2950: 28.12,
}  # fmt: skip
"""The authors' single run on F16, raw paintings, from the frames on their site."""


@dataclass(frozen=True)
class Part:
    """One table: its pictures, the method, what is asked, and how it is measured."""

    images: tuple[str, ...]
    method: str
    load: Callable[[str], tuple[Tensor, Tensor, Any]]
    measure: Callable[[Tensor, Tensor], float] = psnr


def opened(path: Path, mode: str | None = None) -> Tensor:
    """A picture as (1, c, h, w) in [0, 1]."""
    with Image.open(path) as file:
        array = np.array(file.convert(mode) if mode else file)
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255


def noisy(name: str) -> tuple[Tensor, Tensor, Any]:
    site = DATA / "dip_site" / "denoise25"
    return opened(site / f"{name}_GT.png"), opened(site / f"{name}_noisy.png"), None


def cropped(name: str, side: int = 256) -> tuple[Tensor, Tensor, Any]:
    """The middle of a noisy picture: what a CPU can run far enough to see a stop rule stop, on all nine."""
    truth, given, extra = noisy(name)
    top, left = ((whole - side) // 2 for whole in truth.shape[-2:])
    return *(x[..., top : top + side, left : left + side].contiguous() for x in (truth, given)), extra


def masked(name: str) -> tuple[Tensor, Tensor, Any]:
    site = DATA / "dip_site" / "inpaint50"
    given = opened(site / f"{name}_masked.png")
    return opened(site / f"{name}_GT.png"), given, (given == 0).float()


def reduced(folder: str, factor: int = 4) -> Callable[[str], tuple[Tensor, Tensor, Any]]:
    """The centre of a picture and its reduction by Pillow's Lanczos filter."""

    def load(name: str) -> tuple[Tensor, Tensor, Any]:
        whole = opened(DATA / folder / f"{name}.png", "RGB")
        height, width = (side // 32 * 32 for side in whole.shape[-2:])
        top, left = (whole.shape[-2] - height) // 2, (whole.shape[-1] - width) // 2
        truth = whole[..., top : top + height, left : left + width].contiguous()
        small = Image.fromarray(to_uint8(truth[0])).resize(
            (width // factor, height // factor), Image.Resampling.LANCZOS
        )
        return truth, torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255, factor

    return load


PARTS = {
    "denoising": Part(DENOISING, "denoise", noisy),
    "denoising-middle": Part(DENOISING, "denoise", cropped),
    "inpainting": Part(INPAINTING, "inpaint-half", masked),
    "superresolution": Part(SET5, "superresolve-4", reduced("set5"), luminance_psnr),
    "superresolution14": Part(SET14, "superresolve-4", reduced("set14"), luminance_psnr),
    "superresolution8": Part(SET5, "superresolve-8", reduced("set5", 8), luminance_psnr),
    "superresolution8of14": Part(SET14, "superresolve-8", reduced("set14", 8), luminance_psnr),
}


class Observer:
    """Watches a run: curves against the truth, and what each rule would hand over. The run itself sees none of it."""

    def __init__(
        self, truth: Tensor, measure: Callable[[Tensor, Tensor], float], every: int, path: Path, *, stopping: bool
    ) -> None:
        self.truth, self.measure, self.every, self.path = truth, measure, every, path
        asked = Problem(truth)
        self.average = Averaged(0.99).start(asked)
        self.rules: dict[str, Any] = {
            "wmv": WindowedVariance().start(asked), "emv": MovingVariance().start(asked),
            "wmv average": Averaged(0.99, until=WindowedVariance()).start(asked),
            "emv average": Averaged(0.99, until=MovingVariance()).start(asked),
        } if stopping else {}  # fmt: skip
        self.chosen: dict[str, dict[str, float]] = {}
        self.kept: dict[str, dict[str, float]] = {}
        self.curve: list[tuple[float, ...]] = []
        self.pictures: dict[str, Tensor] = {}

    def __call__(self, step: Step) -> bool:
        """Whether every rule has stopped."""
        self.average(step)
        for name, rule in self.rules.items():
            if name not in self.chosen and rule(step):
                self.chosen[name] = self._chosen(name, step.index)
        if step.index % self.every == 0:
            row = (step.index, self.measure(step.image, self.truth), self.measure(self.average.chosen(), self.truth))
            self.curve.append((*row, float(step.value.sum())))
            if step.index % (50 * self.every) == 0:  # hours long: worth a look on the way
                np.save(self.path, np.array(self.curve, dtype=np.float32))
        if step.index + 1 in (1800, 3000):
            at, self.pictures[f"average at {step.index + 1}"] = f"at {step.index + 1}", self.average.chosen()
            self.kept[at] = {
                "raw": self.measure(step.image, self.truth),
                "average": self.measure(self.average.chosen(), self.truth),
            }
        return len(self.chosen) == len(self.rules)

    def _chosen(self, name: str, stopped: int) -> dict[str, float]:
        self.pictures[name] = self.rules[name].chosen()
        return {"psnr": self.measure(self.pictures[name], self.truth), "stopped": stopped}

    def finish(self, last: int) -> dict[str, Any]:
        """All of it; rules that never stopped hand over what they have."""
        alone = sorted(self.chosen)
        chosen = {n: self.chosen.get(n) or self._chosen(n, last) for n in self.rules}
        curve = np.array(self.curve)
        peaks = {"raw": float(curve[:, 1].max()), "average": float(curve[:, 2].max())}
        at = {"raw": int(curve[curve[:, 1].argmax(), 0]), "average": int(curve[curve[:, 2].argmax(), 0])}
        return {"rules": chosen, "kept": self.kept, "peak": peaks, "peak_at": at, "stopped_by_itself": alone}


@dataclass(frozen=True)
class Until:
    """A stop rule for denoising studies: goes on until the observer's rules have all fired and 3,000 steps are done."""

    observer: Observer
    least: int = 3000
    decay: float = 0.99

    def start(self, problem: Problem) -> Any:
        """Begin."""
        return lambda step: self.observer(step) and step.index + 1 >= self.least


def method_of(part: Part, preset: str, steps: int | None) -> Method:
    """`paper`: the published settings; `paper16`: the same in bfloat16, half the time; `fast`: the package's preset."""
    method = fast(PRESETS[part.method]) if preset == "fast" else PRESETS[part.method]
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
        method_of(part, preset, steps),
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
        "device": device, "method": method.name, "input": part.measure(plain(name, given, extra), truth),
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


def classic() -> None:
    """BM3D and NLM on the noisy pictures, bicubic on the small ones; BM3D only where the package `bm3d` is."""
    rows = []
    for part in (name for name in PARTS if name.startswith("denoising")):
        for image in DENOISING:
            truth, given, _ = PARTS[part].load(image)
            rows += [
                {"part": part, "image": image, "method": m, "psnr": psnr(x, truth), "ssim": ssim(x, truth)}
                for m, x in _denoised(given)
            ]
    for part in (name for name in PARTS if name.startswith("super")):
        for image in PARTS[part].images:
            truth, small, _ = PARTS[part].load(image)
            size = (truth.shape[-1], truth.shape[-2])
            grown = Image.fromarray(to_uint8(small[0])).resize(size, Image.Resampling.BICUBIC)
            bicubic = torch.from_numpy(np.array(grown)).permute(2, 0, 1)[None].float() / 255
            rows.append(
                {"part": part, "image": image, "method": "bicubic, ours", "psnr": luminance_psnr(bicubic, truth)}
            )
    pd.DataFrame(rows).to_csv(OUT / "classic.csv", index=False, float_format="%.4f")


def _denoised(given: Tensor) -> Iterator[tuple[str, Tensor]]:
    from skimage.restoration import denoise_nl_means

    array, sigma = given[0].permute(1, 2, 0).double().numpy(), 25 / 255
    found = denoise_nl_means(array, 5, 6, h=0.8 * sigma, sigma=sigma, fast_mode=True, channel_axis=2)
    yield "NLM, scikit-image", torch.from_numpy(found).permute(2, 0, 1)[None].float().clamp(0, 1)
    try:
        from bm3d import bm3d_rgb
    except ModuleNotFoundError:
        print("BM3D is left out: pip install bm3d")
        return
    yield "CBM3D, bm3d", torch.from_numpy(np.asarray(bm3d_rgb(array, sigma))).permute(2, 0, 1)[None].float().clamp(0, 1)


def pictures(device: str, steps: int | None, only: list[str]) -> None:
    """Text, holes, 98 % missing, flash, JPEG and the nets of the large hole, as pictures under runs/restoration/pictures."""
    repo, folder = DATA / "dip_repo", RUNS / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    holes = {
        "kate": ["inpaint"], "vase": ["inpaint-hole"],
        "library": ["inpaint-large", *(f"inpaint-large-{d}" for d in (2, 3, 4, 5)), "inpaint-large-unet", "inpaint-large-resnet"],
    }  # fmt: skip
    tasks: dict[str, Callable[[Method], Any]] = {}
    for name, methods in holes.items():
        given = opened(repo / "inpainting" / f"{name}.png", "RGB").to(device)
        missing = (opened(repo / "inpainting" / f"{name}_mask.png", "L") < 0.5).float().to(device)
        save_png(folder / f"{name}-input.png", (given * (1 - missing))[0].cpu())
        for method in methods:
            tasks[f"{name}:{method}"] = lambda m, x=given, h=missing: inpaint(x, h, method=m)
    cave = [opened(repo / "flash_no_flash" / f"cave01_0{k}.jpg", "RGB").to(device) for k in ("1_noflash", "0_flash")]
    tasks["cave:flash"] = lambda m: flash(cave[0], cave[1], method=m)
    snail = opened(repo / "denoising" / "snail.jpg", "RGB").to(device)
    tasks["snail:dejpeg"] = lambda m: denoise(snail, method=m)
    for key, task in tasks.items():
        path = folder / f"{key.replace(':', '-')}.png"
        if path.exists() or (only and key.split(":")[0] not in only):
            continue
        method = PRESETS[key.split(":")[1]]
        found = task(method if steps is None else replace(method, edit=replace(method.edit, steps=steps)))
        save_png(path, found.image[0].cpu())
        print(key, f"{found.seconds:.0f} s", flush=True)


def rows_of(name: str) -> pd.DataFrame:
    """Every finished run of a part."""
    files = sorted((RUNS / name).glob("*/*.json"))
    return pd.DataFrame([with_peaks(json.loads(path.read_text())) | {"folder": path.parent.name} for path in files])


def with_peaks(row: dict[str, Any]) -> dict[str, Any]:
    """The row with peaks no lower than anything the run handed over: curves hold only some of the steps."""
    told = {"raw": [row["last"]], "average": [row["average"]]}
    for rule, found in row["rules"].items():
        told["average" if rule.endswith("average") else "raw"].append(found["psnr"])
    return row | {"peak": {kind: max(row["peak"][kind], *values) for kind, values in told.items()}}


def flat() -> pd.DataFrame:
    """Every finished run as one flat row: what README and the reader need of `runs/`."""
    found = []
    for name in PARTS:
        for row in rows_of(name).to_dict("records"):
            kept = {
                k: row[k]
                for k in (
                    "part",
                    "image",
                    "preset",
                    "seed",
                    "steps",
                    "seconds",
                    "device",
                    "method",
                    "input",
                    "last",
                    "average",
                    "ssim",
                )
            }
            kept |= {f"peak {k}": v for k, v in row["peak"].items()} | {
                f"peak at {k}": v for k, v in row["peak_at"].items()
            }
            kept |= {f"{k} {at}": v for at, both in row["kept"].items() for k, v in both.items()}
            kept |= {f"{rule} {k}": v for rule, both in row["rules"].items() for k, v in both.items()}
            found.append(kept | {"stopped by itself": " ".join(row["stopped_by_itself"])})
    return pd.DataFrame(found)


def summary(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What README shows: each finished run with what it hands over, beside the published numbers of the same picture."""
    found = []
    for row in rows.to_dict("records"):
        part = PARTS[row["part"]]
        told = PUBLISHED.get(row["part"], {})
        stopped = "wmv average" in str(row.get("stopped by itself"))
        average = "average where ES-WMV stops" if stopped else "average"
        handed = {average: (row["wmv average psnr" if stopped else "average"], row["peak average"])}
        handed |= {"last painting": (row["last"], row["peak raw"])} if not row["part"].startswith("denoising") else {}
        found.append(
            {k: row[k] for k in ("part", "image", "preset", "steps", "seconds", "device", "input")}
            | {"psnr_and_peak": handed}
            | {"published": {title: values[part.images.index(row["image"])] for title, values in told.items()}}
        )
    return found


def table(name: str) -> str:
    """Published and own numbers, a column an image; own means over the images run, beside the published mean of the same."""
    part, lines = PARTS[name], []
    own = rows_of(name)
    lines.append(f"| {name}, PSNR | n | " + " | ".join(part.images) + " | mean of n | published DIP on the same n |")
    lines.append("|" + "---|" * (len(part.images) + 4))
    published = PUBLISHED.get(name, {})
    dip = next((values for title, values in published.items() if title.startswith("DIP")), ())
    for title, values in published.items():
        lines.append(_line(title, dict(zip(part.images, values, strict=True)), part.images, dip))
    simple = OUT / "classic.csv"
    if simple.exists():
        frame = pd.read_csv(simple)
        for method, group in frame[frame["part"] == name].groupby("method", sort=False):
            lines.append(_line(str(method), dict(zip(group["image"], group["psnr"], strict=True)), part.images, dip))
    for folder, group in own.groupby("folder") if len(own) else ():
        for title, values in _own(name, group).items():
            lines.append(
                _line(f"ours, {folder}: {title}", dict(zip(group["image"], values, strict=True)), part.images, dip)
            )
    for title, found in _together(name, own).items() if len(own) else ():
        lines.append(_line(f"ours: {title}", found, part.images, dip))
    return "\n".join(lines) + "\n" + (_stops(own) if name.startswith("denoising") and len(own) else "")


def _own(name: str, group: pd.DataFrame) -> dict[str, list[float]]:
    """What each way of choosing hands over."""
    found = {"last": list(group["last"]), "average of outputs": list(group["average"])}
    if not name.startswith("denoising"):
        return found
    for rule in ("wmv", "emv", "wmv average", "emv average"):
        found[rule] = [row[rule]["psnr"] for row in group["rules"]]
    for at in ("at 1800", "at 3000"):
        if all(at in kept for kept in group["kept"]):
            found |= {f"{kind} {at}": [kept[at][kind] for kept in group["kept"]] for kind in ("raw", "average")}
    return found


def _together(name: str, own: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The mean of the paintings of several seeds at the published settings, by what is averaged."""
    kinds = ("average at 3000", "wmv average", "average") if name.startswith("denoising") else ("last",)
    found: dict[str, dict[str, float]] = {}
    for image in own["image"].unique():
        folders = [f for f in own.loc[own["image"] == image, "folder"] if f.startswith("paper-") and f.count("-") == 1]
        truth = PARTS[name].load(image)[0]
        for kind in kinds if len(folders) > 1 else ():
            files = [RUNS / name / folder / f"{image}-{kind}.png" for folder in folders]
            if all(path.exists() for path in files):
                mean = torch.stack([opened(path) for path in files]).mean(0)[:, : truth.shape[1]]
                found.setdefault(f"mean of {len(files)} runs, {kind}", {})[image] = PARTS[name].measure(mean, truth)
    return found


def _line(title: str, values: dict[str, float], images: tuple[str, ...], dip: tuple[float, ...]) -> str:
    cells = [f"{values[i]:.2f}" if i in values else "" for i in images]
    same = [p for i, p in zip(images, dip, strict=False) if i in values]
    mean = float(np.mean([values[i] for i in images if i in values]))
    beside = f"{np.mean(same):.2f}" if same else ""
    return f"| {title} | {len(values)} | " + " | ".join(cells) + f" | {mean:.2f} | {beside} |"


def _stops(own: pd.DataFrame) -> str:
    """How far each rule stays below its run's own peak."""
    lines = [
        "",
        "| run | rule | n | stopped by itself | within 0.5 dB of its peak | mean loss | largest loss |",
        "|" + "---|" * 7,
    ]
    for folder, group in own.groupby("folder"):
        for rule in ("wmv", "emv", "wmv average", "emv average"):
            kind = "average" if rule.endswith("average") else "raw"
            loss = np.array([row["peak"][kind] - row["rules"][rule]["psnr"] for _, row in group.iterrows()])
            alone = sum(rule in row for row in group["stopped_by_itself"])
            lines.append(
                f"| {folder} | {rule} | {len(loss)} | {alone} | {(loss <= 0.5).sum()} | {loss.mean():.2f} | {loss.max():.2f} |"
            )
    return "\n".join(lines) + "\n"


def curves() -> None:
    """PSNR over steps of each part, and of F16 beside the authors' own frames."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for name in PARTS:
        files = sorted((RUNS / name).glob("*/*.npy"))
        if not files:
            continue
        figure = Figure(figsize=(9, 5))
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for k, path in enumerate(files):
            curve = np.load(path)
            axes.plot(curve[:, 0], curve[:, 1], color=f"C{k % 10}", linewidth=0.7, alpha=0.6)
            axes.plot(curve[:, 0], curve[:, 2], color=f"C{k % 10}", label=f"{path.stem} {path.parent.name}")
        if name == "denoising":
            axes.plot(list(F16_CURVE), list(F16_CURVE.values()), "k.--", label="F16, the authors' run")
        axes.set(xlabel="step", ylabel="PSNR in dB (thin: painting, thick: average)", ylim=(15, None))
        axes.legend(fontsize=6, ncols=2)
        figure.savefig(OUT / f"{name}.png", dpi=90, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--part", choices=[*PARTS, "classic", "pictures"], default="denoising")
    parser.add_argument("--images", default="", help="with commas; all of the part by default")
    parser.add_argument("--preset", choices=["paper", "paper16", "fast"], default="paper")
    parser.add_argument("--steps", type=int, default=None, help="in place of the preset's")
    parser.add_argument("--seeds", default="0", help="with commas; the source averages two runs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--every", type=int, default=10, help="steps between two points of the curve")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    chosen = [i for i in args.images.split(",") if i]
    if args.what == "run" and args.part == "classic":
        classic()
    elif args.what == "run" and args.part == "pictures":
        pictures(args.device, args.steps, chosen)
    elif args.what == "run":
        for image in chosen or PARTS[args.part].images:
            for seed in args.seeds.split(","):
                run(args.part, image, args.preset, args.steps, int(seed), args.device, args.every)
    (OUT / "table.md").write_text("\n".join(table(name) for name in PARTS))
    rows = flat()
    rows.to_csv(OUT / "rows.csv", index=False, float_format="%.4f")
    (OUT / "summary.json").write_text(json.dumps(summary(rows), indent=1) + "\n")
    curves()


if __name__ == "__main__":
    main()
