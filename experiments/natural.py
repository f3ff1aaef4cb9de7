"""The settings of the default method, chosen on validation lesions with the tuning oracle; writes results/natural/.

    python experiments/natural.py            about 40 minutes on 2 cores; finished variants are kept
    python experiments/natural.py --count 60 --only "default;sparse 10"        differences of a few hundredths need that many

The list is fixed before anything is computed: of the HAM10000 validation split, one image a lesion, nevi and
melanomas that the classifier recognises, in the order of the sha256 of their ids, half of each; nevi go to
melanoma and melanomas to nevus. `witness` is the tuning oracle: other oracles are not read here.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from isic_comparison import DATA, RESULTS, ROOT, picture_and_mask

import cfexplain
from cfexplain.explanation import plot
from cfexplain.explanation.metrics.oracle import ask_oracle
from cfexplain.explanation.metrics.perceptual import Distance, load_lpips
from cfexplain.images import to_uint8
from cfexplain.method.line_search import LineSearch
from cfexplain.method.objective import total
from cfexplain.method.presets import NATURAL, NATURAL_WARM
from cfexplain.method.views import Views
from cfexplain.search.edit import Edit
from cfexplain.terms import CompactChange, EstimatedLoss, PerceptualDistance, SameColour, SameFeatures, SparseChange
from cfexplain_classifiers import folded, load
from cfexplain_datasets import open_dataset

OUT = RESULTS / "natural"
EDIT = NATURAL.edit
MILD = Views(scale=(0.8, 1.1), noise=0.06, blur=0.008, colour=0.1)


def variant(name: str, line_search: LineSearch | None = NATURAL.line_search, **changes: Any) -> cfexplain.Method:
    """The default with some of its edit's settings changed."""
    return replace(NATURAL, name=name, line_search=line_search, edit=replace(EDIT, **changes))


def reweighted(*parts: tuple[float, cfexplain.Term]) -> cfexplain.Objective:
    """The default's objective with other weights of some terms."""
    return EDIT.objective.without(*(type(term) for _, term in parts)) | total(*parts)


FORMER = reweighted((20.0, SparseChange())).without(PerceptualDistance)
"""Of the default before it kept texture."""

VARIANTS = (
    variant("default"),
    variant("sparse 10", objective=reweighted((10.0, SparseChange()))),
    variant(
        "sparse 10, perceptual distance 1.25",
        objective=reweighted((10.0, SparseChange()), (1.25, PerceptualDistance())),
    ),
    variant("no perceptual distance", objective=EDIT.objective.without(PerceptualDistance)),
    variant("sparse 20 instead of perceptual distance", objective=FORMER),
    variant("perceptual distance 5, sparse 5", objective=reweighted((5.0, PerceptualDistance()), (5.0, SparseChange()))),
    variant("one painting", averaged=0.0),
    variant("not shrunken", line_search=None),
    variant("no views", views=None),
    variant("no estimator", objective=EDIT.objective.without(EstimatedLoss)),
    NATURAL_WARM,
    replace(NATURAL_WARM, name="natural-warm, 120 steps", edit=replace(NATURAL_WARM.edit, steps=120)),
    replace(NATURAL_WARM, name="natural-warm, 80 steps", edit=replace(NATURAL_WARM.edit, steps=80)),
    variant("mild views", views=MILD),
    variant("4 views", views=Views(count=4)),
    variant("estimator 1", objective=reweighted((1.0, EstimatedLoss(quantile=0.5)))),
    variant("with features 0.3", objective=EDIT.objective | total((0.3, SameFeatures()))),
    variant("free colour", objective=EDIT.objective.without(SameColour)),
    variant("colour 1500", objective=reweighted((1500.0, SameColour()))),
    variant("not compact", objective=EDIT.objective.without(CompactChange)),
    variant("coarse to fine", unlock=0.5),
)


def lesions(count: int, classifier: cfexplain.Classifier) -> list[tuple[str, str, torch.Tensor, torch.Tensor]]:
    """(image, target, query, mask): recognised nevi, then recognised melanomas."""
    val = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset("val")
    table = val.table.assign(digest=[hashlib.sha256(str(i).encode()).hexdigest() for i in val.table.index])
    table, found = table.sort_values("digest").drop_duplicates("lesion_id"), []
    for label, target in (("nv", "mel"), ("mel", "nv")):
        wanted = count // 2
        for image in table.index[table["label"] == label]:
            query, mask = picture_and_mask(val.select([image])[0], classifier.image_size)
            with torch.no_grad():
                seen = classifier.classes[int(classifier(query).logits.argmax())]
            if seen == label and wanted:
                found.append((str(image), target, query, mask))
                wanted -= 1
    return found


def row(image: str, found: Edit, oracle: cfexplain.Classifier, lpips: Distance) -> dict[str, Any]:
    """The metrics of one explanation."""
    belief, measured = ask_oracle(found, oracle), cfexplain.evaluate(found).iloc[0].to_dict()
    return {
        "variant": found.method, "image": image, "target": found.classes[int(found.target)], "found": found.found[0],
        "p_target": float(found.after.probabilities[0, int(found.target)]), "alpha": found.alpha[0],
        "witness_counted": bool(belief.counted), "witness_flip": float(belief.flipped), "witness_gain": float(belief.gain),
        **measured, "lpips": float(lpips(found.image, found.query)), "steps": found.steps[0], "seconds": found.seconds[0],
    }  # fmt: skip


def sheet(results: list[Edit], name: str) -> None:
    """Query, counterfactual and change, a column a lesion."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(len(results) * 1.1, 3.5))
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, len(results), gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for axis in axes.flat:
        axis.axis("off")
    for column, found in enumerate(results):
        axes[0, column].imshow(to_uint8(found.query[0]))
        axes[1, column].imshow(to_uint8(found.image[0]))
        axes[2, column].imshow(plot.change_values(found.difference[0]), cmap="PuOr_r", vmin=-0.2, vmax=0.2)
        axes[0, column].set_title(f"{found.classes[int(found.source)]}→{found.classes[int(found.target)]}", fontsize=7)
    figure.savefig(OUT / f"{name}.png", dpi=80, bbox_inches="tight")


def table(rows: pd.DataFrame) -> str:
    """Means by variant."""
    columns = (
        "found", "p_target", "alpha", "witness_flip", "witness_gain", "inside_lesion", "lpips", "mean_change", "changed_share",
        "high_frequency_share", "colour_shift", "seconds",
    )  # fmt: skip
    lines = [
        "| variant | n | " + " | ".join(c.replace("_", " ") for c in columns) + " | gain nv to mel | gain mel to nv |"
    ]
    lines.append("|" + "---|" * (len(columns) + 4))
    for name in rows["variant"].unique():
        chosen = rows[rows["variant"] == name]
        by = chosen.groupby("target")["witness_gain"].mean()
        chosen = chosen.assign(witness_flip=chosen["witness_flip"].where(chosen["witness_counted"].astype(bool)))
        cells = " | ".join(f"{chosen[c].astype(float).mean():.3f}" for c in columns)
        lines.append(f"| {name} | {len(chosen)} | {cells} | {by['mel']:.3f} | {by['nv']:.3f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=16, help="lesions, half of each direction")
    parser.add_argument("--only", default="", help="variants, separated by semicolons")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    classifier, witness, path = folded(load("ham10000")), load("witness"), OUT / "rows.csv"
    lpips = load_lpips(DATA / "weights")
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame({"variant": []})
    chosen = lesions(args.count, classifier)
    for method in VARIANTS:
        if (rows["variant"] == method.name).any() or (args.only and method.name not in args.only.split(";")):
            continue
        found = [
            cfexplain.explain(classifier, q, t, method=method, mask=m, anchors=ROOT / "runs" / "natural")
            for _, t, q, m in chosen
        ]
        fresh = pd.DataFrame([row(c[0], r, witness, lpips) for c, r in zip(chosen, found, strict=True)])
        rows = pd.concat([rows, fresh], ignore_index=True)
        rows.to_csv(path, index=False, float_format="%.5g")
        (OUT / "table.md").write_text(table(rows))
        if method.name in ("default", "no views", "free colour"):
            sheet(found, method.name.replace(" ", "_"))
        print(table(rows[rows["variant"] == method.name]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
