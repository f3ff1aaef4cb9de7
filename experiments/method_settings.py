"""Why the defaults are what they are: each setting of the anchor and the edit varied alone, on validation lesions.

    python experiments/method_settings.py           about 10 minutes on 2 cores

Eight HAM10000 validation lesions (four nevi to melanoma, four melanomas to nevus, by the digest of their ids), none of
them used in any other study. Nothing here looks at the witness or at test lesions.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

import cfexplain
from cfexplain.images import Square, resize, square
from cfexplain.method.objective import ramp, total
from cfexplain.method.stage import Method, Stage
from cfexplain.method.stop import CloseEnough
from cfexplain.terms import EstimatedLoss, SameFeatures, SamePixels, SparseChange, TargetClass
from cfexplain_classifiers import load
from cfexplain_datasets import open_dataset

sys.path.insert(0, str(Path(__file__).parent))
from isic_comparison import DATA, RESULTS

OUT = RESULTS / "method_settings"
BASE = cfexplain.REGULARISED_DIP


def edited(**changes: object) -> Method:
    """The method with another edit."""
    return replace(BASE, edit=replace(BASE.edit, **changes))  # type: ignore[arg-type]


def anchored(anchor: Stage) -> Method:
    """The method with another anchor."""
    return replace(BASE, anchor=anchor)


def staying(pixels: float, sparse: float) -> Method:
    """The method with other weights that hold the image back."""
    terms = total((0.3, SameFeatures()), (pixels, SamePixels(to="anchor")), (sparse, SparseChange()))
    return edited(objective=terms | total((1.0, TargetClass(confidence=0.9)), (0.3, EstimatedLoss(quantile=0.5))))


_PIXELS_ONLY = total((10.0, SamePixels()))
VARIANTS = {
    "default": BASE,
    "transfer after the edit": replace(BASE, transfer="after"),
    "no transfer": replace(BASE, transfer="never"),
    "anchor: pixels alone": anchored(replace(BASE.anchor, objective=_PIXELS_ONLY)),  # type: ignore[type-var]
    "anchor: features at full weight": anchored(
        replace(BASE.anchor, objective=_PIXELS_ONLY | total((ramp(1.0, 1.0), SameFeatures(), 3)))  # type: ignore[type-var]
    ),
    "anchor: stop at 32 dB, however early": anchored(replace(BASE.anchor, stop=CloseEnough(32.0))),  # type: ignore[type-var]
    "edit: learning rate 1e-3": edited(learning_rate=1e-3),
    "edit: learning rate 2e-4": edited(learning_rate=2e-4),
    "edit: held back 2.5 times less": staying(20.0, 5.0),
    "edit: plain estimate, weight 0.3": edited(
        objective=BASE.edit.objective.without(EstimatedLoss) | total((0.3, EstimatedLoss()))
    ),
    "edit: no estimate (DIP)": cfexplain.DIP,
}
COLUMNS = (
    "flipped", "target_gain", "estimated_loss_change", "mean_change", "changed_share", "inside_lesion",
    "high_frequency_share", "anchor_psnr", "seconds",
)  # fmt: skip


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    table = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset("val")
    order = table.table.assign(digest=[hashlib.sha256(str(i).encode()).hexdigest() for i in table.table.index])
    order = order.sort_values("digest").drop_duplicates("lesion_id")
    lesions = list(table.select([i for c in ("nv", "mel") for i in order.index[order["label"] == c][:4]]))
    classifier = load("ham10000")
    images = torch.stack([square(lesion.image, classifier.image_size) for lesion in lesions])
    masks = [Square.of(*lesion.mask.shape[-2:]).crop(lesion.mask) for lesion in lesions if lesion.mask is not None]
    mask = torch.stack([(resize(m[None], classifier.image_size)[0] > 0.5).float() for m in masks])
    rows = []
    for name, method in VARIANTS.items():
        result = cfexplain.explain(classifier, images, ["mel"] * 4 + ["nv"] * 4, method=method, mask=mask)
        frame = cfexplain.evaluate(result).assign(seconds=result.seconds, status=[s.value for s in result.status])
        asked = frame[frame["status"] != "already_target"]
        rows.append({"variant": name, "n": len(asked), **asked[list(COLUMNS)].mean().round(3).to_dict()})
        text = pd.DataFrame(rows).to_csv(index=False)
        (OUT / "table.csv").write_text(text)
        lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
        lines += ["| " + " | ".join(str(v) for v in row.values()) + " |" for row in rows]
        (OUT / "table.md").write_text("\n".join(lines) + "\n")
        print(lines[-1], flush=True)


if __name__ == "__main__":
    main()
