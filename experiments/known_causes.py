"""Does a counterfactual move what causes the label, and leave the rest alone? On lesions painted by a known rule.

    python experiments/known_causes.py                     20 minutes on one core; writes results/known_causes/
    python experiments/known_causes.py --shortcut ruler    first trains a classifier on a planted shortcut (10 minutes); or vignette

The list is fixed: the first test lesions of the synthetic set that the classifier recognises, in order. Each is asked
for the other class, and the change is compared with that of the true counterfactual: the same picture, its nuisance
untouched, with the nearest lesion of the other class.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch.nn.functional as F
from isic_comparison import MAIN
from shared import RESULTS, RUNS, cell, command, interval, markdown, sheet
from torch import Tensor
from train_shipped import InMemory

import cfexplain
from cfexplain.classifier.checks import predict
from cfexplain.explanation.plot import change_values
from cfexplain.explanation.readout import readout
from cfexplain.method.presets import PIXELS
from cfexplain.search.edit import Edit
from cfexplain_classifiers import Recipe, folded, load, train
from cfexplain_datasets.augment import Augmentation
from cfexplain_datasets.synthetic import SyntheticLesions
from cfexplain_datasets.synthetic_paint import paint

OUT = RESULTS / "known_causes"
VISIBLE = 0.05
COLUMNS = ("found", "cosine", "on_cause", "lift", "nuisance", "nuisance_lift", "factor_signs", "mean_change")
FACTORS = ("asymmetry", "colour_asymmetry", "irregularity", "abruptness", "diameter", "blue_grey", "black")
BIASED = Recipe("lcnet_050", image_size=64, epochs=8, learning_rate=2e-3, balance=0.0, dropout=0.1, seed=5)


def cause_and_nuisance(data: SyntheticLesions, index: int, target: int) -> tuple[Tensor, Tensor]:
    """Where the lesion causes the label, and where hair, ruler or vignette are drawn, booleans of shape (h, w).

    The cause is where the true counterfactual, the nearest lesion of the other class in the same image, differs
    visibly on the mean of the channels; the nuisance where the image differs from the same one drawn without.
    """
    cause = (data.counterfactual(index, target).image - data[index].image).abs().mean(0)
    factors, nuisance = data.recipe(index)
    bare, _ = paint(factors, replace(nuisance, hair=0, ruler=False, vignette=0.0), data.size)
    return cause > VISIBLE, (data[index].image - bare).abs().amax(0) > VISIBLE


def recognised(classifier: cfexplain.Classifier, data: SyntheticLesions, count: int) -> list[int]:
    """The first lesions that the classifier recognises."""
    right = (i for i, x in enumerate(data) if int(predict(classifier, x.image[None]).logits.argmax()) == x.label)
    return list(islice(right, count))


def measured(found: Edit, data: SyntheticLesions, index: int) -> dict[str, Any]:
    """How the change found compares with the true one."""
    target = int(found.target)
    where, nuisance = cause_and_nuisance(data, index, target)
    true = data.counterfactual(index, target).image
    change, cause = found.difference[0].abs().mean(0), (true - found.query[0]).abs().mean(0)
    energy = found.difference[0].square().sum(0)
    share, area = float((energy * where).sum() / energy.sum().clamp_min(1e-12)), float(where.float().mean())
    truth = readout(found.query[0], true, found.mask[0]).change  # type: ignore[index]
    moved = readout(found.query[0], found.image[0], found.mask[0]).change  # type: ignore[index]
    agree = [
        float(np.sign(moved[f]) == np.sign(truth[f])) for f in FACTORS if abs(truth.get(f, 0.0)) > 1e-3 and f in moved
    ]
    return {
        "found": found.found[0],
        "cosine": float(F.cosine_similarity(change.flatten(), cause.flatten(), dim=0)),
        "on_cause": share,
        "cause_area": area,
        "lift": share / max(area, 1e-6),
        "on_nuisance": float((energy * nuisance).sum() / energy.sum().clamp_min(1e-12)),
        "nuisance_area": float(nuisance.float().mean()),
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
    lines = [
        [method, len(own), *(cell(interval(own[c].astype(float))) for c in COLUMNS)]
        for method, own in rows.groupby("method", sort=False)
    ]
    own = rows[rows["method"] == rows["method"].iloc[0]]
    some = own[own["nuisance_area"] > 0]
    return markdown(["method", "n", *(c.replace("_", " ") for c in COLUMNS)], lines) + (
        f"\nShares are of the squared change, lifts shares over areas. Share of the picture: cause {own['cause_area'].mean():.2f}, "
        f"nuisance {some['nuisance_area'].mean():.3f} in the {len(some)} of {len(own)} pictures that have any, over which nuisance is counted.\n"
    )


def biased(shortcut: str) -> Any:
    """A classifier trained where the shortcut agrees with the label in 19 of 20 pictures."""
    sets = [InMemory(SyntheticLesions(n, 64, 3, s, shortcut, 0.95)) for s, n in (("train", 4000), ("val", 600))]  # type: ignore[arg-type]
    path = train(
        BIASED, *sets, RUNS / f"biased-{shortcut}", labels=sets[0].labels,
        augment=Augmentation(64, scale=(0.93, 1.07), stretch=1.0, shift=0.06, colour=0.5, degrade=0.15),
        progress=lambda line: print(line, flush=True),
    )  # fmt: skip
    return load(path)


def main() -> None:
    parser = command(__doc__)
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
    indices = recognised(classifier, data, args.count)
    for method in (*MAIN, PIXELS):
        results = []
        for lesion, index in ((data[i], i) for i in indices):
            target, mask = 1 - int(lesion.label or 0), lesion.mask[None]  # type: ignore[index]
            found = cfexplain.explain(classifier, lesion.image[None], target, method=method, mask=mask)
            results.append(found)
            rows.append({"method": method.name, "image": lesion.id} | measured(found, data, index))
        frame = pd.DataFrame(rows)
        frame.to_csv(OUT / f"{name}_rows.csv", index=False, float_format="%.5g")
        (OUT / f"{name}.md").write_text(table(frame))
        if method.name == "natural":
            shown = list(zip(results, indices, strict=True))[:12]
            true = [data.counterfactual(i, int(f.target)).image for f, i in shown]
            images = [[f.query[0] for f, _ in shown], true, [f.image[0] for f, _ in shown]]
            titles = [f"to {f.classes[int(f.target)]}" for f, _ in shown]
            changes = [change_values(f.difference[0]) for f, _ in shown]
            sheet([*images, changes], OUT / f"{name}.png", titles=titles, scale=0.3)
        print(table(frame), flush=True)


if __name__ == "__main__":
    main()
