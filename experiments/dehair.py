"""Hair taken off lesions: the prior beside DullRazor and OpenCV; writes results/dehair/.

    python experiments/dehair.py --images 8          about 15 minutes on a core; finished images are kept
    python experiments/dehair.py table               the table and the sheets alone

Measured: synthetic hair on clean lesions, so that the skin under it is known. Shown: real hairy lesions. The lists are
fixed before anything is computed: lesions of the sharper HAM10000 subset in the order of the sha256 of their ids; clean
are those on which `find_artefacts` finds no hair and no ruler, hairy those with hair on more than 6 % of the pixels.
Each method gets two masks: the drawn one, and the one that `hair_mask` finds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from perceptual import load_lpips
from restoration_study.quality import ssim
from torch import Tensor

from cfexplain.images import load_picture, save_png, to_uint8
from cfexplain.restore import DEHAIR, Run, dehair
from cfexplain.restore.hair import dullrazor, grown, hair_mask, opencv
from cfexplain.restore.quality import psnr

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CFEXPLAIN_DATA", ROOT.parent / "shared" / "data"))
RUNS, OUT = ROOT / "runs" / "dehair", ROOT / "experiments" / "results" / "dehair"
HAIRS = 14
"""Drawn on each lesion."""


def lesions(folder: Path = DATA / "isic" / "isic2018_224crop_subset") -> Iterator[tuple[str, Tensor]]:
    """One picture a lesion, in the order of the sha256 of their ids."""
    table = pd.read_csv(folder / "labels.csv")
    key = "image" if "image" in table else table.columns[0]
    table["digest"] = [hashlib.sha256(str(i).encode()).hexdigest() for i in table[key]]
    table = table.sort_values("digest")
    if "lesion_id" in table:
        table = table.drop_duplicates("lesion_id")
    for name in table[key]:
        (path,) = (folder / "images").glob(f"{Path(str(name)).stem}.*")
        yield path.stem, load_picture(path)


def chosen(kind: str, count: int) -> list[tuple[str, Tensor]]:
    """The first clean or hairy ones."""
    from cfexplain.dermoscopy.artefacts import find_artefacts

    found = []
    for name, picture in lesions():
        if len(found) == count:
            break
        masks = find_artefacts(picture)
        hair, ruler, corner = (float(masks[part].mean()) for part in ("hair", "ruler", "dark_corner"))
        if (hair == ruler == corner == 0) if kind == "clean" else (hair > 0.06 and corner == 0):
            found.append((name, picture))
    return found


def with_hair(picture: Tensor, seed: int, hairs: int = HAIRS) -> tuple[Tensor, Tensor]:
    """Dark curved hairs over a picture, and where they are: coverage above 2 %, shape (1, h, w)."""
    import cv2

    rng, zoom = np.random.default_rng(seed), 4
    height, width = (zoom * side for side in picture.shape[-2:])
    values, covered = picture.clone(), torch.zeros(1, *picture.shape[-2:])
    for _ in range(hairs):
        line = _curve(rng, height, width)
        sheet = np.zeros((height, width), np.uint8)
        thick = int(rng.integers(4, 11))
        cv2.polylines(sheet, [line], False, 255, thick, cv2.LINE_AA)
        cover = cv2.resize(sheet, picture.shape[-2:][::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        alpha = torch.from_numpy(cover)[None] * float(rng.uniform(0.75, 0.95))
        colour = torch.tensor(rng.uniform((0.08, 0.05, 0.03), (0.3, 0.2, 0.15)), dtype=torch.float32)
        values = values * (1 - alpha) + alpha * colour[:, None, None]
        covered = torch.maximum(covered, alpha)
    return values.clamp(0, 1), (covered > 0.02).float()


def _curve(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A gently bent line of 0.4 to 1.1 sides."""
    side, angle = min(height, width), rng.uniform(0, 2 * np.pi)
    length, bend = side * rng.uniform(0.4, 1.1), side * rng.uniform(-0.15, 0.15)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    start = rng.uniform((0, 0), (width, height)) - 0.5 * length * along
    t = np.linspace(0, 1, 40)[:, None]
    return (start + t * length * along + 4 * t * (1 - t) * bend * across).round().astype(np.int32)


def ways(steps: int | None) -> dict[str, Any]:
    """Each way of cleaning: a picture and a mask to a picture."""

    def by(method: Any) -> Any:
        edit = method.edit if steps is None else replace(method.edit, steps=steps)
        return lambda picture, mask: dehair(picture, mask=mask, method=replace(method, edit=edit), run=Run()).image[0]

    return {"prior": by(DEHAIR), "DullRazor": dullrazor, "OpenCV": opencv}


def measure(name: str, clean: Tensor, steps: int | None) -> list[dict[str, Any]]:
    """All ways on one lesion with synthetic hair; pictures are kept beside the rows."""
    path = RUNS / f"{name}.json"
    if path.exists():
        return list(json.loads(path.read_text()))
    lpips = load_lpips(DATA / "weights")
    hairy, drawn = with_hair(clean, seed=int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    masks, rows = {"drawn": grown(drawn), "found": hair_mask(hairy)}, []
    results = {("untouched", "drawn"): (hairy, 0.0)}
    for mask_name, mask in masks.items():
        for way, clean_up in ways(steps).items():
            started = time.perf_counter()
            results[way, mask_name] = (clean_up(hairy, mask), time.perf_counter() - started)
    for (way, mask_name), (image, seconds) in results.items():
        under = drawn[None]
        elsewhere_clean = torch.where(under > 0, image[None], clean[None])
        rows.append(
            {
                "image": name, "way": way, "mask": mask_name, "psnr": psnr(image[None], clean[None], under),
                "ssim": ssim(image[None], clean[None], under), "lpips": float(lpips(elsewhere_clean, clean[None])),
                "psnr_elsewhere": psnr(image[None], clean[None], 1 - under), "seconds": seconds,
                "covered": float(drawn.mean()), "hair_found": float((masks["found"] * drawn).sum() / drawn.sum()),
                "painted": float(masks[mask_name].mean()),
            }
        )  # fmt: skip
        save_png(RUNS / f"{name}-{way}-{mask_name}.png", image)
    save_png(RUNS / f"{name}-clean.png", clean)
    path.write_text(json.dumps(rows, indent=1))
    return rows


def show(name: str, picture: Tensor, steps: int | None) -> None:
    """All ways on a real hairy lesion."""
    if (RUNS / f"real-{name}-OpenCV.png").exists():
        return
    mask = hair_mask(picture)
    save_png(RUNS / f"real-{name}-query.png", picture)
    save_png(RUNS / f"real-{name}-mask.png", mask.expand(3, -1, -1))
    for way, clean_up in ways(steps).items():
        save_png(RUNS / f"real-{name}-{way}.png", clean_up(picture, mask))


def table() -> str:
    """Means and counts by way and mask."""
    rows = pd.DataFrame([row for path in sorted(RUNS.glob("*.json")) for row in json.loads(path.read_text())])
    rows.to_csv(OUT / "rows.csv", index=False, float_format="%.5g")
    best = rows[rows["mask"] == "drawn"].pivot(index="image", columns="way", values="psnr")
    lines = [
        "| way | mask | n | PSNR under hair | SSIM under hair | LPIPS of what is under hair | PSNR elsewhere | best PSNR on | seconds |",
        "|" + "---|" * 9,
    ]
    for (way, mask), group in rows.groupby(["way", "mask"], sort=False):
        wins = f"{int((best.idxmax(axis=1) == way).sum())} of {len(best)}" if mask == "drawn" else ""
        elsewhere = group["psnr_elsewhere"].replace(np.inf, np.nan).mean()
        lines.append(
            f"| {way} | {mask} | {len(group)} | {group['psnr'].mean():.2f} | {group['ssim'].mean():.3f} | "
            f"{group['lpips'].mean():.4f} | {elsewhere:.2f} | {wins} | {group['seconds'].mean():.1f} |"
        )
    share = rows.drop_duplicates("image")
    lines.append(
        f"\nHair covers {share['covered'].mean():.3f} of the pixels; {share['hair_found'].mean():.2f} of it is found."
    )
    return "\n".join(lines) + "\n"


def sheet(rows: list[list[Path]], titles: list[str], out: Path) -> None:
    """Pictures in rows under one line of titles."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.2 * len(titles), 2.2 * len(rows) + 0.3))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(titles), squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for line, paths in zip(axes, rows, strict=True):
        for axis, path in zip(line, paths, strict=True):
            axis.axis("off")
            axis.imshow(to_uint8(load_picture(path)))
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    figure.savefig(out, dpi=100, bbox_inches="tight")


def sheets() -> None:
    """The first four of each kind."""
    names = [path.stem for path in sorted(RUNS.glob("*.json"))][:4]
    kinds = ["clean", "untouched-drawn", "prior-drawn", "DullRazor-drawn", "OpenCV-drawn", "prior-found"]
    titles = ["clean", "with drawn hair", "prior", "DullRazor", "OpenCV", "prior, found mask"]
    if names:
        sheet([[RUNS / f"{n}-{k}.png" for k in kinds] for n in names], titles, OUT / "synthetic.png")
    real = sorted({path.name[5:-10] for path in RUNS.glob("real-*-query.png")})[:4]
    parts = ["query", "mask", "prior", "DullRazor", "OpenCV"]
    if real:
        sheet(
            [[RUNS / f"real-{n}-{p}.png" for p in parts] for n in real],
            ["hairy", "found", *parts[2:]],
            OUT / "real.png",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["run", "table"], default="run")
    parser.add_argument("--images", type=int, default=8, help="clean lesions, with hair drawn on them")
    parser.add_argument("--hairy", type=int, default=4, help="real hairy lesions that are shown")
    parser.add_argument("--steps", type=int, default=None, help="of the prior, in place of its own")
    args = parser.parse_args()
    RUNS.mkdir(parents=True, exist_ok=True)
    OUT.mkdir(parents=True, exist_ok=True)
    if args.what == "run":
        for name, clean in chosen("clean", args.images):
            rows = measure(name, clean, args.steps)
            print(name, {(r["way"], r["mask"]): round(r["psnr"], 2) for r in rows}, flush=True)
        for name, picture in chosen("hairy", args.hairy):
            show(name, picture, args.steps)
    (OUT / "table.md").write_text(table())
    sheets()
    print((OUT / "table.md").read_text())


if __name__ == "__main__":
    main()
