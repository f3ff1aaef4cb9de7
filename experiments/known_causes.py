"""Does a counterfactual move what causes the label, and leave the rest alone? On lesions painted by a known rule.

    python experiments/known_causes.py                     20 minutes on one core; writes results/known_causes/
    python experiments/known_causes.py --shortcut ruler    first trains a classifier on a planted shortcut (10 minutes); or vignette

The list is fixed: the first test lesions of the synthetic set that the classifier recognises, in order. Each is asked
for the other class, and the change is compared with that of the true counterfactual: the same picture, its nuisance
untouched, with the nearest lesion of the other class.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from isic_comparison import MAIN, RESULTS, ROOT
from isic_judge import interval
from torch import Tensor
from train_shipped import InMemory

import cfexplain
from cfexplain.explanation import plot
from cfexplain.explanation.readout import readout
from cfexplain.images import to_uint8
from cfexplain.method.presets import PIXELS
from cfexplain.search.edit import Edit
from cfexplain_classifiers import Recipe, folded, load, train
from cfexplain_datasets.augment import Augmentation
from cfexplain_datasets.synthetic import SyntheticLesions
from cfexplain_datasets.synthetic_paint import paint

OUT = RESULTS / "known_causes"
VISIBLE = 0.05
FACTORS = ("asymmetry", "colour_asymmetry", "irregularity", "abruptness", "diameter", "blue_grey", "black")
BIASED = Recipe("lcnet_050", image_size=64, epochs=8, learning_rate=2e-3, balance=0.0, dropout=0.1, seed=5)


def cause_and_nuisance(data: SyntheticLesions, index: int, target: int) -> tuple[Tensor, Tensor]:
    """The true counterfactual's change, and where hair, ruler or vignette are drawn, both as (h, w)."""
    query, moved = data[index].image, data.counterfactual(index, target).image
    factors, nuisance = data.recipe(index)
    bare, _ = paint(factors, replace(nuisance, hair=0, ruler=False, vignette=0.0), data.size)
    return (moved - query).abs().mean(0), ((query - bare).abs().amax(0) > VISIBLE).float()


def measured(found: Edit, data: SyntheticLesions, index: int) -> dict[str, Any]:
    """How the change found compares with the true one."""
    target = int(found.target)
    cause, nuisance = cause_and_nuisance(data, index, target)
    change = found.difference[0].abs().mean(0)
    energy = found.difference[0].square().sum(0)
    where = (cause > VISIBLE).float()
    share, area = float((energy * where).sum() / energy.sum().clamp_min(1e-12)), float(where.mean())
    truth = readout(found.query[0], data.counterfactual(index, target).image, found.mask[0]).change  # type: ignore[index]
    moved = readout(found.query[0], found.image[0], found.mask[0]).change  # type: ignore[index]
    agree = [
        float(np.sign(moved[f]) == np.sign(truth[f])) for f in FACTORS if abs(truth.get(f, 0.0)) > 1e-3 and f in moved
    ]
    return {
        "found": found.found[0],
        "cosine": float(torch.nn.functional.cosine_similarity(change.flatten(), cause.flatten(), dim=0)),
        "on_cause": share,
        "cause_area": area,
        "lift": share / max(area, 1e-6),
        "on_nuisance": float((energy * nuisance).sum() / energy.sum().clamp_min(1e-12)),
        "nuisance_area": float(nuisance.mean()),
        "factor_signs": float(np.mean(agree)) if agree else np.nan,
        "mean_change": float(change.mean()),
    }


def table(rows: pd.DataFrame) -> str:
    """Means with bootstrap intervals by method."""
    with_some = rows["nuisance_area"] > 0
    rows = rows.assign(
        nuisance=rows["on_nuisance"].where(with_some),
        nuisance_lift=(rows["on_nuisance"] / rows["nuisance_area"]).where(with_some),
    )
    columns = ("found", "cosine", "on_cause", "lift", "nuisance", "nuisance_lift", "factor_signs", "mean_change")
    lines = [
        "| method | n | " + " | ".join(c.replace("_", " ") for c in columns) + " |",
        "|" + "---|" * (len(columns) + 2),
    ]
    for method in rows["method"].unique():
        chosen = rows[rows["method"] == method]
        spread = [interval(chosen.assign(found=chosen["found"].astype(float)), c) for c in columns]
        cells = " | ".join(f"{s['mean']:.3f} [{s['low']:.3f}, {s['high']:.3f}]" for s in spread)
        lines.append(f"| {method} | {len(chosen)} | {cells} |")
    own = rows[rows["method"] == rows["method"].iloc[0]]
    some = own[own["nuisance_area"] > 0]
    return "\n".join(lines) + (
        f"\n\nShares are of the squared change, lifts shares over areas. Share of the picture: cause {own['cause_area'].mean():.2f}, "
        f"nuisance {some['nuisance_area'].mean():.3f} in the {len(some)} of {len(own)} pictures that have any, over which nuisance is counted.\n"
    )


def sheet(results: list[Edit], data: SyntheticLesions, indices: list[int], path: Path) -> None:
    """Query, true counterfactual, and the one found; a column a lesion."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(len(indices) * 1.1, 4.6))
    FigureCanvasAgg(figure)
    axes = figure.subplots(4, len(indices), gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for axis in axes.flat:
        axis.axis("off")
    for column, (found, index) in enumerate(zip(results, indices, strict=True)):
        true = data.counterfactual(index, int(found.target)).image
        for row, image in enumerate((found.query[0], true, found.image[0])):
            axes[row, column].imshow(to_uint8(image))
        axes[3, column].imshow(plot.change_values(found.difference[0]), cmap="PuOr_r", vmin=-0.3, vmax=0.3)
        axes[0, column].set_title(f"to {found.classes[int(found.target)]}", fontsize=7)
    figure.savefig(path, dpi=80, bbox_inches="tight")


def biased(shortcut: str) -> Any:
    """A classifier trained where the shortcut agrees with the label in 19 of 20 pictures."""
    sets = [InMemory(SyntheticLesions(n, 64, 3, s, shortcut, 0.95)) for s, n in (("train", 4000), ("val", 600))]  # type: ignore[arg-type]
    path = train(
        BIASED, *sets, ROOT / "runs" / f"biased-{shortcut}", labels=sets[0].labels,
        augment=Augmentation(64, scale=(0.93, 1.07), stretch=1.0, shift=0.06, colour=0.5, degrade=0.15),
        progress=lambda line: print(line, flush=True),
    )  # fmt: skip
    return load(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--shortcut", choices=["ruler", "vignette"])
    parser.add_argument("--tables", action="store_true", help="write the tables again from the rows that are kept")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if args.tables:
        for path in OUT.glob("*_rows.csv"):
            path.with_name(path.name.replace("_rows.csv", ".md")).write_text(table(pd.read_csv(path)))
        return
    classifier = folded(biased(args.shortcut) if args.shortcut else load("synthetic"))
    name = args.shortcut or "unbiased"
    data, rows = SyntheticLesions(400, 64, 0, "test", args.shortcut, 0.95), []
    indices: list[int] = []
    for index, lesion in enumerate(data):
        with torch.no_grad():
            if int(classifier(lesion.image[None]).logits.argmax()) == lesion.label:
                indices.append(index)
        if len(indices) == args.count:
            break
    for method in (*MAIN, PIXELS):
        results = []
        for index in indices:
            lesion = data[index]
            found = cfexplain.explain(
                classifier, lesion.image[None], 1 - int(lesion.label or 0), method=method,
                mask=lesion.mask[None], anchors=ROOT / "runs" / "known_causes",  # type: ignore[index]
            )  # fmt: skip
            results.append(found)
            rows.append({"method": method.name, "image": lesion.id} | measured(found, data, index))
        frame = pd.DataFrame(rows)
        frame.to_csv(OUT / f"{name}_rows.csv", index=False, float_format="%.5g")
        (OUT / f"{name}.md").write_text(table(frame))
        if method.name == "natural":
            sheet(results[:12], data, indices[:12], OUT / f"{name}.png")
        print(table(frame), flush=True)


if __name__ == "__main__":
    main()
