"""The settings of the default method, chosen on validation lesions with the tuning oracle; writes results/natural/.

    python experiments/natural.py            about 40 minutes on 2 cores; finished variants are kept
    python experiments/natural.py --count 60 --only "natural;whole image"        differences of a few hundredths need that many

The list is fixed before anything is computed: of the HAM10000 validation split, one image a lesion, nevi and
melanomas that the classifier recognises, in the order of the sha256 of their ids, half of each; nevi go to
melanoma and melanomas to nevus. `witness` is the tuning oracle: other oracles are not read here. Each lesion is
searched with two seeds; `agreement` is the overlap of their strongest tenths of the change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from shared import RESULTS, by_digest, command, ham10000, image_and_mask, lpips, markdown, read_rows

import cfexplain
from cfexplain import NATURAL, Geometric, Stage, total
from cfexplain.classifier.checks import predict
from cfexplain.explanation.metrics.oracle import ask_oracle
from cfexplain.explanation.metrics.seeds import seed_agreement
from cfexplain.search.edit import Edit
from cfexplain.terms import TargetClass
from cfexplain_classifiers import folded, load

OUT = RESULTS / "natural"
COLUMNS = (
    "found", "p_target", "alpha", "witness_flip", "witness_gain", "inside_lesion", "lpips", "mean_change", "changed_share",
    "high_frequency_share", "colour_shift", "agreement", "seconds",
)  # fmt: skip
SEEDS = (0, 1)


def weighted(weight: float) -> Stage:
    """The default's edit with another weight of the target class."""
    others = NATURAL.edit.objective.without(TargetClass)
    return replace(NATURAL.edit, objective=others | total((Geometric(weight, factor=256.0), TargetClass(0.985))))


VARIANTS = (
    NATURAL,
    replace(NATURAL, name="whole image", salient=None),
    replace(NATURAL, name="salient .75", salient=0.75),
    replace(NATURAL, name="salient .75, weight .6", edit=weighted(0.6), salient=0.75),
    replace(NATURAL, name="one search", searches=1),
)
"""What else results/natural/ has is of version 0.1."""


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


def of_lesion(lesion: tuple[str, str, torch.Tensor, torch.Tensor], method: cfexplain.Method, *judges: Any) -> list[Any]:
    """The rows of one lesion, a seed each, with the overlap of their strongest tenths of the change."""
    (image, target, query, mask), (classifier, witness) = lesion, judges
    found = [cfexplain.explain(classifier, query, target, method=method, mask=mask, seed=seed) for seed in SEEDS]
    agreement = float(seed_agreement(found))
    return [
        row(image, edit, witness) | {"variant": method.name, "seed": edit.seed, "agreement": agreement}
        for edit in found
    ]


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
    return markdown(["variant", "n", *names, "gain nv to mel", "gain mel to nv"], lines).replace("| nan |", "| |")


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
        fresh = pd.DataFrame([r for lesion in chosen for r in of_lesion(lesion, method, classifier, witness)])
        rows = pd.concat([rows, fresh], ignore_index=True)
        rows.to_csv(path, index=False, float_format="%.5g")
        (OUT / "table.md").write_text(table(rows))
        print(table(fresh).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
