"""Twenty real test lesions explained by each method: the table and the contact sheet in results/twenty_lesions/.

    python experiments/twenty_lesions.py            about 12 minutes on 2 cores

The list is fixed before anything is computed: of the HAM10000 test split, one image a lesion, the ten nevi and
ten melanomas whose sha256 of the image id is smallest; nevi go to melanoma and melanomas to nevus, however the
classifier sees them. A melanoma that it already takes for a nevus counts as `already_target`. The witness
classifier is shipped, of another architecture, and never optimised. The methods share the anchors: the seconds of
the first include painting it, those of the others do not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import cfexplain
from cfexplain import plot
from cfexplain.images import resize, square, to_uint8
from cfexplain.result import Counterfactual
from cfexplain_classifiers import load
from cfexplain_datasets import open_dataset
from cfexplain_datasets.lesion import Lesion

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CFEXPLAIN_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "experiments" / "results" / "twenty_lesions"
METHODS = (cfexplain.NATURAL, cfexplain.REGULARISED_DIP, cfexplain.DIP, cfexplain.TV)


def fixed_list(count: int = 10) -> list[Lesion]:
    """Nevi, then melanomas, in the order of the digest of their ids."""
    test = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset("test")
    table = test.table.assign(digest=[hashlib.sha256(str(i).encode()).hexdigest() for i in test.table.index])
    table = table.sort_values("digest").drop_duplicates("lesion_id")
    ids = [i for label in ("nv", "mel") for i in table.index[table["label"] == label][:count]]
    return list(test.select(ids))


def interval(values: pd.Series, draws: int = 2000) -> str:
    """Mean with a 95 % percentile bootstrap over lesions."""
    known = values.dropna().to_numpy(dtype=float)
    if len(known) == 0:
        return "-"
    rng = np.random.default_rng(0)
    means = known[rng.integers(len(known), size=(draws, len(known)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{known.mean():.3f} [{low:.3f}, {high:.3f}]"


def rows_of(result: Counterfactual, lesions: list[Lesion], witness: cfexplain.Classifier) -> pd.DataFrame:
    """One row a lesion."""
    with torch.no_grad():
        seen, before = witness(result.image).probabilities, witness(result.query).probabilities
    target = result.target[:, None]
    frame = cfexplain.evaluate(result)
    frame.insert(0, "image", [lesion.id for lesion in lesions])
    frame.insert(1, "method", result.method)
    frame.insert(2, "source", [result.classes[i] for i in result.source])
    frame.insert(3, "target", [result.classes[i] for i in result.target])
    frame.insert(4, "status", [s.value for s in result.status])
    frame["p_target"] = result.after.probabilities.gather(1, target).squeeze(1).tolist()
    frame["estimated_loss"] = torch.as_tensor(result.after.loss).tolist()
    frame["witness_flip"] = (seen.argmax(1) == result.target).float().tolist()
    frame["witness_gain"] = (seen - before).gather(1, target).squeeze(1).tolist()
    frame["steps"], frame["seconds"] = result.steps, result.seconds
    return frame


def summary(rows: pd.DataFrame) -> str:
    """The table as Markdown, over the lesions that were not already the target, failures included."""
    columns = (
        "flipped", "p_target", "estimated_loss", "estimated_loss_change", "mean_change", "changed_share", "inside_lesion",
        "high_frequency_share", "anchor_psnr", "witness_flip", "witness_gain", "seconds",
    )  # fmt: skip
    lines = ["| method | direction | n | already target | " + " | ".join(c.replace("_", " ") for c in columns) + " |"]
    lines.append("|" + "---|" * (len(columns) + 4))
    for method in rows["method"].unique():
        for direction in ("both", "mel", "nv"):
            chosen = rows[(rows["method"] == method) & (rows["target"].eq(direction) | (direction == "both"))]
            asked = chosen[chosen["status"] != "already_target"]
            name = {"both": "both", "mel": "nv to mel", "nv": "mel to nv"}[direction]
            cells = " | ".join(interval(asked[c]) for c in columns)
            lines.append(f"| {method} | {name} | {len(asked)} | {len(chosen) - len(asked)} | {cells} |")
    return "\n".join(lines) + "\n"


def contact_sheet(results: list[Counterfactual], lesions: list[Lesion], path: Path) -> None:
    """Two lesions a row: query, then counterfactual and signed change by each method."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wide, half = 1 + 2 * len(results), (len(lesions) + 1) // 2
    figure = Figure(figsize=(2 * wide * 1.15, half * 1.3))
    FigureCanvasAgg(figure)
    axes = figure.subplots(half, 2 * wide, gridspec_kw={"wspace": 0.04, "hspace": 0.22})
    for axis in axes.flat:
        axis.axis("off")
    for k, lesion in enumerate(lesions):
        row = axes[k % half][(k // half) * wide : (k // half + 1) * wide]
        first = results[0][k]
        title = f"{lesion.id[-5:]} {first.classes[int(first.source)]}→{first.classes[int(first.target)]}"
        row[0].imshow(to_uint8(first.query[0]))
        row[0].set_title(title, fontsize=7)
        for m, result in enumerate(results):
            one = result[k]
            row[1 + 2 * m].imshow(to_uint8(one.image[0]))
            p = float(one.after.probabilities[0, int(one.target)])
            row[1 + 2 * m].set_title(f"{one.method.replace('regularised-', 'r-')} {p:.2f}", fontsize=7)
            row[2 + 2 * m].imshow(plot.change_values(one.difference[0]), cmap="PuOr_r", vmin=-0.2, vmax=0.2)
            row[2 + 2 * m].set_title("±0.2", fontsize=6)
    figure.savefig(path, dpi=72, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10, help="lesions a direction")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lesions, classifier, witness = fixed_list(args.count), load("ham10000"), load("witness")
    size = classifier.image_size
    images = torch.stack([square(lesion.image, size) for lesion in lesions])
    masks = torch.stack([(resize(_centre(lesion.mask)[None], size)[0] > 0.5).float() for lesion in lesions])
    targets = ["mel"] * args.count + ["nv"] * args.count
    results = []
    for method in METHODS:
        results.append(
            cfexplain.explain(classifier, images, targets, method=method, mask=masks, anchors=ROOT / "runs" / "twenty")
        )
        rows = pd.concat([rows_of(r, lesions, witness) for r in results])
        rows.to_csv(args.out / "rows.csv", index=False, float_format="%.5g")
        (args.out / "table.md").write_text(summary(rows))
        print(summary(rows), flush=True)
    contact_sheet(results, lesions, args.out / "contact_sheet.png")


def _centre(mask: torch.Tensor | None) -> torch.Tensor:
    from cfexplain.images import Square

    assert mask is not None, "HAM10000 has a mask for every image"
    return Square.of(*mask.shape[-2:]).crop(mask)


if __name__ == "__main__":
    main()
