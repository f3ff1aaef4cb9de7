"""Is the readout to be believed? Segmentation, natural spread, noise, true factors: results/readout_check/.

    python experiments/readout_check.py             3 minutes on one core

The list is fixed before anything is computed: of the HAM10000 validation split, one image a lesion, the 300 whose
sha256 of the image id is smallest, in the central square at 128 pixels. `constants.json` holds what cfexplain/explanation/readout.py
ships as `SPREAD` (standard deviation) and `NOISE` (95 % quantile of the absolute change when the same lesion is seen
again, moved and noisy). Both are measured on those of the first 200 that lie whole in the picture, for moving a lesion
that the picture's rim cuts shows another part of it, which an edit in place does not; the false alarms on the last 100.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from shared import RESULTS, by_digest, cell, command, ham10000, image_and_mask, interval, markdown, write_json
from sklearn.metrics import roc_auc_score

from cfexplain.dermoscopy.abcd import COLOURS, describe
from cfexplain.dermoscopy.segment import segment
from cfexplain.explanation import readout as shipped
from cfexplain.explanation.readout import Readout, readout
from cfexplain.statistics import spearman
from cfexplain_datasets.lesion import Lesion
from cfexplain_datasets.synthetic import SyntheticLesions

OUT = RESULTS / "readout_check"
SIZE = 128
MEASURES = ("asymmetry", "colour_asymmetry", "irregularity", "abruptness", *COLOURS, "diameter", "darkness", "contrast",
            "inhomogeneity")  # fmt: skip
TRUE_FACTORS = (
    ("asymmetry", "asymmetry"), ("colour_asymmetry", "colour_spread"), ("irregularity", "border"),
    ("abruptness", "border"), ("diameter", "diameter"), *((c, c) for c in COLOURS), ("colours", "colours_drawn"),
)  # fmt: skip


def fixed_list(split: str, count: int) -> tuple[list[Lesion], torch.Tensor, torch.Tensor]:
    """Lesions in the order of the digest of their ids, their images and masks."""
    chosen = ham10000(split)
    lesions = list(chosen.select(list(by_digest(chosen).index[:count])))
    images, masks = (torch.cat(part) for part in zip(*(image_and_mask(x, SIZE) for x in lesions), strict=True))
    return lesions, images, masks


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


def retests(images: torch.Tensor, times: int) -> list[Readout]:
    rng = torch.Generator().manual_seed(0)
    return [readout(image, seen_again(image, rng)) for image in images for _ in range(times)]


def rim_touched(mask: torch.Tensor) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def segmentation_table(label: np.ndarray, overlap: pd.DataFrame, classes: tuple[str, ...]) -> str:
    parts = {name: overlap[(label == name) | (name == "all")] for name in ("all", *classes)}
    lines = (
        [name, len(x), cell(interval(x["iou"])), cell(interval(x["dice"])), f"{(x['iou'] < 0.5).mean():.2f}"]
        for name, x in parts.items()
        if len(x) >= 5
    )
    return markdown(["lesions", "n", "IoU", "Dice", "IoU below 0.5"], lines).rstrip()


def measures_table(real: pd.DataFrame, again: pd.DataFrame, label: np.ndarray) -> str:
    """Spread, noise, and how each measure separates melanomas from nevi (it was not made for that)."""
    lines, two = [], np.isin(label, ("mel", "nv"))
    for name in (*MEASURES, "colours"):
        spread, noise = real[name].std(), again[name].abs().quantile(0.95)
        area = roc_auc_score(label[two] == "mel", real[name].to_numpy()[two])
        lines.append(
            [name, f"{real[name].mean():.3g}", f"{spread:.3g}", f"{noise:.3g}", f"{noise / spread:.2f}", f"{area:.2f}"]
        )
    names = ["measure", "mean", "spread (SD)", "noise (95 %)", "noise / spread", "AUROC mel against nv"]
    return markdown(names, lines).rstrip()


def synthetic_table(count: int = 100) -> str:
    lesions = SyntheticLesions(count, size=SIZE, split="val")
    truth = lesions.table.assign(colours_drawn=(lesions.table[list(COLOURS)] > 0.3).sum(axis=1))
    samples = list(lesions)
    outlines = {
        "true outline": [x.mask for x in samples],
        "found outline": segment(torch.stack([x.image for x in samples])),
    }
    found = {k: pd.DataFrame([describe(x.image, m).numbers() for x, m in zip(samples, masks, strict=True)])
             for k, masks in outlines.items()}  # fmt: skip
    table = markdown(
        ["measure", "true factor", *found],
        ([m, f, *(f"{spearman(frame[m], truth[f]):.2f}" for frame in found.values())] for m, f in TRUE_FACTORS),
    )
    return f"Spearman's rank correlation on {count} synthetic lesions.\n\n{table.rstrip()}"


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (lesions, images, given), classes = fixed_list("val", 300), ham10000().classes
    names, label = [x.id for x in lesions], np.array([classes[x.label or 0] for x in lesions])
    found = segment(images)
    overlap = overlaps(found, given)
    overlap.assign(image=names).to_csv(args.out / "rows.csv", index=False, float_format="%.4g")

    real = pd.DataFrame([describe(i, m).numbers() for i, m in zip(images, found, strict=True)])
    whole = np.array([not rim_touched(m[0].bool()) for m in found])
    used = whole & (np.arange(len(lesions)) < 200)
    again = pd.DataFrame([r.change for r in retests(images[used], 1)])
    spread, noise = real[used].std(), again.abs().quantile(0.95)
    constants = {"spread": {m: float(f"{spread[m]:.3g}") for m in MEASURES},
                 "noise": {m: float(f"{noise[m]:.3g}") for m in MEASURES}}  # fmt: skip
    write_json(args.out / "constants.json", constants)
    shipped.SPREAD, shipped.NOISE = constants["spread"], constants["noise"]
    alarms = np.array([float(bool(r.standing_out)) for r in retests(images[200:], 1)])
    text = [f"# Outlines\n\n{segmentation_table(label, overlap, classes)}",
            f"# Measures\n\nOf {used.sum()} lesions that lie whole in the picture.\n\n{measures_table(real[used], again, label[used])}",
            f"Share of other lesions of which some change is named when they are only seen again: {cell(interval(alarms[whole[200:]]))} of "
            f"{whole[200:].sum()} that lie whole in the picture, {cell(interval(alarms[~whole[200:]]))} of {(~whole[200:]).sum()} that its rim cuts.",
            f"# True factors\n\n{synthetic_table()}"]  # fmt: skip
    (args.out / "table.md").write_text("\n\n".join(text) + "\n")
    print("\n\n".join(text))


if __name__ == "__main__":
    main()
