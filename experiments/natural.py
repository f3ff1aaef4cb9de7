"""The settings of the default method, chosen on validation lesions with the tuning oracle; writes results/natural/.

    python experiments/natural.py            about 40 minutes on 2 cores; finished variants are kept
    python experiments/natural.py --count 60 --only "default;sparse 10"        differences of a few hundredths need that many

The list is fixed before anything is computed: of the HAM10000 validation split, one image a lesion, nevi and
melanomas that the classifier recognises, in the order of the sha256 of their ids, half of each; nevi go to
melanoma and melanomas to nevus. `witness` is the tuning oracle: other oracles are not read here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from shared import RESULTS, by_digest, command, ham10000, image_and_mask, lpips, markdown, read_rows

import cfexplain
from cfexplain.classifier.checks import predict
from cfexplain.explanation.metrics.oracle import ask_oracle
from cfexplain.method.objective import total
from cfexplain.method.presets import NATURAL
from cfexplain.search.edit import Edit
from cfexplain.terms import PerceptualDistance, SparseChange
from cfexplain_classifiers import folded, load

OUT = RESULTS / "natural"
EDIT = NATURAL.edit
COLUMNS = (
    "found", "p_target", "alpha", "witness_flip", "witness_gain", "inside_lesion", "lpips", "mean_change", "changed_share",
    "high_frequency_share", "colour_shift", "seconds",
)  # fmt: skip


def variant(name: str, **changes: Any) -> cfexplain.Method:
    """The default with some of its edit's settings changed."""
    return replace(NATURAL, name=name, edit=replace(EDIT, **changes))


def reweighted(*parts: tuple[float, cfexplain.Term]) -> cfexplain.Objective:
    """The default's objective with other weights of some terms."""
    return EDIT.objective.without(*(type(term) for _, term in parts)) | total(*parts)


VARIANTS = (
    variant("default"),
    variant("sparse 10", objective=reweighted((10.0, SparseChange()))),
    variant(
        "sparse 10, perceptual distance 1.25",
        objective=reweighted((10.0, SparseChange()), (1.25, PerceptualDistance())),
    ),
)
"""What results/natural/ has, but for a former default; what leaves a term out is in `isic_comparison.py`."""


def lesions(count: int, classifier: cfexplain.Classifier) -> list[tuple[str, str, torch.Tensor, torch.Tensor]]:
    """(image, target, query, mask): recognised nevi, then recognised melanomas."""
    val, found = ham10000("val"), []
    table = by_digest(val)
    for label, target in (("nv", "mel"), ("mel", "nv")):
        wanted = count // 2
        for image in table.index[table["label"] == label]:
            if not wanted:
                break
            query, mask = image_and_mask(val.select([image])[0], classifier.image_size)
            if classifier.classes[int(predict(classifier, query).logits.argmax())] == label:
                found.append((str(image), target, query, mask))
                wanted -= 1
    return found


def row(image: str, found: Edit, oracle: cfexplain.Classifier) -> dict[str, Any]:
    """The metrics of one explanation."""
    answer, target = ask_oracle(found, oracle), int(found.target)
    return {
        "variant": found.method, "image": image, "target": found.classes[target], "found": found.found[0],
        "p_target": float(found.after.probabilities[0, target]), "alpha": found.alpha[0],
        "witness_counted": bool(answer.counted), "witness_flip": float(answer.flipped), "witness_gain": float(answer.gain),
        **cfexplain.evaluate(found).iloc[0].to_dict(), "lpips": float(lpips()(found.image, found.query)),
        "steps": found.steps[0], "seconds": found.seconds[0],
    }  # fmt: skip


def table(rows: pd.DataFrame) -> str:
    """Means by variant."""
    rows = rows.assign(witness_flip=rows["witness_flip"].where(rows["witness_counted"].astype(bool)))
    by_target = rows.pivot_table(index="variant", columns="target", values="witness_gain", sort=False)
    lines = [
        [name, len(own), *(f"{own[c].astype(float).mean():.3f}" for c in COLUMNS)]
        + [f"{by_target.at[name, t]:.3f}" for t in ("mel", "nv")]
        for name, own in rows.groupby("variant", sort=False)
    ]
    names = [c.replace("_", " ") for c in COLUMNS]
    return markdown(["variant", "n", *names, "gain nv to mel", "gain mel to nv"], lines)


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--count", type=int, default=16, help="lesions, half of each direction")
    parser.add_argument("--only", default="", help="variants, separated by semicolons")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    classifier, witness, path = folded(load("ham10000")), load("witness"), OUT / "rows.csv"
    rows, chosen = read_rows(path, "variant"), lesions(args.count, classifier)
    for method in VARIANTS:
        if (rows["variant"] == method.name).any() or (args.only and method.name not in args.only.split(";")):
            continue
        found = [cfexplain.explain(classifier, q, t, method=method, mask=m) for _, t, q, m in chosen]
        fresh = pd.DataFrame([row(c[0], edit, witness) for c, edit in zip(chosen, found, strict=True)])
        rows = pd.concat([rows, fresh], ignore_index=True)
        rows.to_csv(path, index=False, float_format="%.5g")
        (OUT / "table.md").write_text(table(rows))
        print(table(fresh).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
