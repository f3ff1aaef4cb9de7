"""Is the readout to be believed? Segmentation, natural spread, noise, true factors: results/readout_check/.

    python experiments/readout_check.py             # about 3 minutes on 1 core, and 30 seconds a counterfactual
    python experiments/readout_check.py --pairs 0   # without the four counterfactuals

The list is fixed before anything is computed: of the HAM10000 validation split, one image a lesion, the 300 whose
sha256 of the image id is smallest, in the central square at 128 pixels. `constants.json` holds what cfexplain/readout.py
ships as `SPREAD` (standard deviation) and `NOISE` (95 % quantile of the absolute change when the same lesion is seen
again, moved and noisy). Both are measured on those of the first 200 that lie whole in the picture, for moving a lesion
that the picture's rim cuts shows another part of it, which an edit in place does not; the false alarms on the last 100.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import rankdata, spearmanr

import cfexplain
from cfexplain import readout as shipped
from cfexplain.dermoscopy.abcd import COLOURS, describe
from cfexplain.dermoscopy.segment import segment
from cfexplain.explanation.readout import readout
from cfexplain.images import Square, resize, square, to_uint8
from cfexplain_classifiers import load
from cfexplain_datasets import open_dataset
from cfexplain_datasets.lesion import Lesion
from cfexplain_datasets.synthetic import SyntheticLesions

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CFEXPLAIN_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "experiments" / "results" / "readout_check"
SIZE = 128
MEASURES = ("asymmetry", "colour_asymmetry", "irregularity", "abruptness", *COLOURS, "diameter", "darkness", "contrast",
            "inhomogeneity")  # fmt: skip
TRUE_FACTORS = (
    ("asymmetry", "asymmetry"), ("colour_asymmetry", "colour_spread"), ("irregularity", "border"),
    ("abruptness", "border"), ("diameter", "diameter"), *((c, c) for c in COLOURS), ("colours", "colours_drawn"),
)  # fmt: skip


def fixed_list(split: str, count: int) -> list[Lesion]:
    """Lesions in the order of the digest of their ids."""
    chosen = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset(split)
    table = chosen.table.assign(digest=[hashlib.sha256(str(i).encode()).hexdigest() for i in chosen.table.index])
    return list(chosen.select(list(table.sort_values("digest").drop_duplicates("lesion_id").index[:count])))


def square_mask(lesion: Lesion) -> torch.Tensor:
    assert lesion.mask is not None, "HAM10000 has a mask for every image"
    return (resize(Square.of(*lesion.mask.shape[-2:]).crop(lesion.mask)[None], SIZE)[0] > 0.5).float()


def interval(values: np.ndarray, draws: int = 2000) -> str:
    """Mean with a 95 % percentile bootstrap over lesions."""
    rng = np.random.default_rng(0)
    low, high = np.quantile(values[rng.integers(len(values), size=(draws, len(values)))].mean(1), (0.025, 0.975))
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def overlaps(found: torch.Tensor, given: torch.Tensor) -> pd.DataFrame:
    both, either = (found * given).flatten(1).sum(1), found.maximum(given).flatten(1).sum(1)
    dice = 2 * both / (found.flatten(1).sum(1) + given.flatten(1).sum(1))
    return pd.DataFrame({"iou": (both / either).tolist(), "dice": dice.tolist()})


def seen_again(image: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Turned by up to 5 degrees, shifted by up to 1 % of the side, with noise of 0.01."""
    turn, x, y = ((torch.rand(3, generator=rng) * 2 - 1) * torch.tensor([np.pi / 36, 0.02, 0.02])).tolist()
    cos, sin = np.cos(turn), np.sin(turn)
    grid = F.affine_grid(
        torch.tensor([[[cos, -sin, x], [sin, cos, y]]], dtype=torch.float32), [1, 3, SIZE, SIZE], False
    )
    moved = F.grid_sample(image[None], grid, padding_mode="reflection", align_corners=False)[0]
    return (moved + 0.01 * torch.randn(moved.shape, generator=rng)).clamp(0, 1)


def retests(images: torch.Tensor, times: int) -> list[cfexplain.explanation.readout.Readout]:
    rng = torch.Generator().manual_seed(0)
    return [readout(image, seen_again(image, rng)) for image in images for _ in range(times)]


def rim_touched(mask: torch.Tensor) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    ranks, count = rankdata(score), positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(score) - count)))


def segmentation_table(lesions: list[Lesion], overlap: pd.DataFrame, classes: tuple[str, ...]) -> str:
    label = np.array([classes[lesion.label or 0] for lesion in lesions])
    lines = ["| lesions | n | IoU | Dice | IoU below 0.5 |", "|---|---|---|---|---|"]
    for name in ("all", *classes):
        part = overlap[(label == name) | (name == "all")]
        if len(part) >= 5:
            low = (part["iou"] < 0.5).mean()
            lines.append(f"| {name} | {len(part)} | {interval(part['iou'].to_numpy())} | "
                         f"{interval(part['dice'].to_numpy())} | {low:.2f} |")  # fmt: skip
    return "\n".join(lines)


def measures_table(real: pd.DataFrame, again: pd.DataFrame, label: np.ndarray) -> str:
    """Spread, noise, and how each measure parts melanomas from nevi (it was not made for that)."""
    lines = [
        "| measure | mean | spread (SD) | noise (95 %) | noise / spread | AUROC mel against nv |",
        "|---|---|---|---|---|---|",
    ]
    known = np.isin(label, ("mel", "nv"))
    for name in (*MEASURES, "colours"):
        spread, noise = real[name].std(), again[name].abs().quantile(0.95)
        area = auroc(real[name].to_numpy()[known], label[known] == "mel")
        lines.append(
            f"| {name} | {real[name].mean():.3g} | {spread:.3g} | {noise:.3g} | {noise / spread:.2f} | {area:.2f} |"
        )
    return "\n".join(lines)


def synthetic_table(count: int = 100) -> str:
    lesions = SyntheticLesions(count, size=SIZE, split="val")
    truth = lesions.table.assign(colours_drawn=(lesions.table[list(COLOURS)] > 0.3).sum(axis=1))
    pictures = list(lesions)
    outlines = {
        "true outline": [p.mask for p in pictures],
        "found outline": segment(torch.stack([p.image for p in pictures])),
    }
    found = {k: pd.DataFrame([describe(p.image, m).numbers() for p, m in zip(pictures, masks, strict=True)])
             for k, masks in outlines.items()}  # fmt: skip
    lines = ["| measure | true factor | " + " | ".join(found) + " |", "|---" * (2 + len(found)) + "|"]
    for measure, factor in TRUE_FACTORS:
        cells = [f"{spearmanr(frame[measure], truth[factor]).statistic:.2f}" for frame in found.values()]
        lines.append(f"| {measure} | {factor} | {' | '.join(cells)} |")
    return f"Spearman's rank correlation on {count} synthetic lesions.\n\n" + "\n".join(lines)


def segmentation_sheet(
    lesions: list[Lesion], images: torch.Tensor, found: torch.Tensor, given: torch.Tensor, path: Path
) -> None:
    """Given outline white, found outline yellow; the first 24 of the list, good or bad."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 10.4))
    FigureCanvasAgg(figure)
    score = overlaps(found, given)["iou"]
    for k, axis in enumerate(figure.subplots(4, 6, gridspec_kw={"wspace": 0.03, "hspace": 0.28}).flat):
        axis.imshow(to_uint8(images[k]))
        axis.contour(given[k, 0], [0.5], colors="white", linewidths=1)
        axis.contour(found[k, 0], [0.5], colors="yellow", linewidths=1)
        about = describe(images[k], found[k])
        names = ", ".join(n.replace("_", "-") for n, s in about.shares.items() if s >= 0.05)
        axis.set_title(
            f"{lesions[k].id[-5:]} IoU {score[k]:.2f}, A {about.asymmetry:.2f}, B {about.irregularity:.2f}\n{names}",
            fontsize=7,
        )
        axis.axis("off")
    figure.savefig(path, dpi=80, bbox_inches="tight")


def pairs(count: int, path: Path) -> str:
    """Words for counterfactuals of the first test lesions that the classifier gets right, with their pictures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classifier = load("ham10000")
    lesions = [x for x in fixed_list("test", 200) if classifier.classes[x.label or 0] in ("nv", "mel")]
    images, masks = (
        torch.stack([square(x.image, SIZE) for x in lesions]),
        torch.stack([square_mask(x) for x in lesions]),
    )
    with torch.no_grad():
        right = classifier(images).logits.argmax(1) == torch.tensor([x.label or 0 for x in lesions])
    names = [classifier.classes[x.label or 0] for x in lesions]
    chosen = [[i for i, name in enumerate(names) if name == c and right[i]][: (count + 1) // 2] for c in ("nv", "mel")]
    order = (chosen[0] + chosen[1])[:count]
    targets = ["mel" if names[i] == "nv" else "nv" for i in order]
    result = cfexplain.explain(classifier, images[order], targets)
    figure = Figure(figsize=(11, 2.1 * count))
    FigureCanvasAgg(figure)
    lines = []
    for row, i, one in zip(
        figure.subplots(count, 3, squeeze=False, width_ratios=[1, 1, 3]), order, result, strict=True
    ):
        said = readout(one.query[0], one.image[0], masks[i]).finding(
            names[i], one.classes[int(one.target)], flipped=one.found[0]
        )
        lines.append(f"- {lesions[i].id}: {said}")
        before, after, _ = shipped.outlines(one.query[0], one.image[0], masks[i, 0].numpy() > 0.5)
        for axis, picture, outline in zip(row, (one.query[0], one.image[0]), (before, after), strict=False):
            axis.imshow(to_uint8(picture))
            axis.contour(outline, [0.5], colors="yellow", linewidths=1)
        row[2].text(0, 0.5, f"{lesions[i].id}\n{said}", wrap=True, va="center", fontsize=9)
        for axis in row:
            axis.axis("off")
    figure.savefig(path, dpi=80, bbox_inches="tight")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4, help="counterfactuals to put into words")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lesions = fixed_list("val", 300)
    images, given = (
        torch.stack([square(x.image, SIZE) for x in lesions]),
        torch.stack([square_mask(x) for x in lesions]),
    )
    classes = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").classes
    found = segment(images)
    overlap = overlaps(found, given)
    overlap.assign(image=[x.id for x in lesions]).to_csv(args.out / "rows.csv", index=False, float_format="%.4g")
    segmentation_sheet(lesions, images, found, given, args.out / "outlines.png")

    real = pd.DataFrame([describe(i, m).numbers() for i, m in zip(images, found, strict=True)])
    whole = np.array([not rim_touched(m[0].bool()) for m in found])
    used = whole & (np.arange(len(lesions)) < 200)
    again = pd.DataFrame([r.change for r in retests(images[used], 1)])
    spread, noise = real[used].std(), again.abs().quantile(0.95)
    constants = {"spread": {m: float(f"{spread[m]:.3g}") for m in MEASURES},
                 "noise": {m: float(f"{noise[m]:.3g}") for m in MEASURES}}  # fmt: skip
    (args.out / "constants.json").write_text(json.dumps(constants, indent=2) + "\n")
    shipped.SPREAD, shipped.NOISE = constants["spread"], constants["noise"]
    alarms = np.array([float(bool(r.standing_out)) for r in retests(images[200:], 1)])
    label = np.array([classes[x.label or 0] for x in lesions])
    text = [f"# Outlines\n\n{segmentation_table(lesions, overlap, classes)}",
            f"# Measures\n\nOf {used.sum()} lesions that lie whole in the picture.\n\n{measures_table(real[used], again, label[used])}",
            f"Share of other lesions of which some change is named when they are only seen again: {interval(alarms[whole[200:]])} of "
            f"{whole[200:].sum()} that lie whole in the picture, {interval(alarms[~whole[200:]])} of {(~whole[200:]).sum()} that its rim cuts.",
            f"# True factors\n\n{synthetic_table()}"]  # fmt: skip
    (args.out / "table.md").write_text("\n\n".join(text) + "\n")
    print("\n\n".join(text), flush=True)
    if args.pairs:
        text.append(f"# Words\n\n{pairs(args.pairs, args.out / 'pairs.png')}")
        (args.out / "table.md").write_text("\n\n".join(text) + "\n")
        print(text[-1])


if __name__ == "__main__":
    main()
