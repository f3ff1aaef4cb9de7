"""How often do oracles agree on real images of which the classifier is sure? Writes results/sure_real.json.

    python experiments/real_images.py       3 minutes on one core

Of the HAM10000 test images, one a lesion, those to which the explained classifier gives the target class with at
least .9 (and, since few melanomas are that sure, at least .5): the share for which an oracle predicts that class too.
Classes are weighted as the targets of the rows that the study counts (`results/isic_comparison_rows.csv`), so that the
number stands beside the flip rates of the study. Counterfactuals may reach more than real images do: the oracle has seen
the same lesion before and after, and only what changed differs.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from shared import RESULTS, command, ham10000, oracles, spread, write_json

from cfexplain.classifier.checks import predict
from cfexplain.images import resize, square
from cfexplain_classifiers import folded, load

SURE, DRAWS = (0.9, 0.5), 2000


def confident() -> pd.DataFrame:
    """One line a test image predicted confidently: the class, and whether each oracle predicts it too."""
    classifier, test, rows = folded(load("ham10000")), ham10000("test"), []
    for name in test.table.drop_duplicates("lesion_id").index:
        image = square(test.select([name])[0].image, classifier.image_size)[None]
        probability, index = predict(classifier, image).probabilities[0].max(0)
        if probability < min(SURE):
            continue
        label = classifier.classes[int(index)]
        row = {"image": str(name), "class": label, "probability": float(probability)}
        for oracle, (model, names) in oracles().items():
            seen = predict(model, resize(image, model.image_size).clamp(0, 1))
            row[oracle] = model.classes[int(seen.logits.argmax())] == names.get(label, label)
        rows.append(row)
    return pd.DataFrame(rows)


def agreement(real: pd.DataFrame, wanted: pd.Series, oracle: str) -> dict[str, Any]:
    """Mean agreement, classes weighted as the targets, with a percentile bootstrap over the images of each class."""
    share, rng = wanted.value_counts(normalize=True), np.random.default_rng(0)
    share = share[[label for label in share.index if (real["class"] == label).any()]]
    share /= share.sum()
    agreed = {label: real.loc[real["class"] == label, oracle].to_numpy(dtype=float) for label in share.index}
    drawn = sum(w * rng.choice(agreed[c], (DRAWS, len(agreed[c]))).mean(1) for c, w in share.items())
    value = sum(w * agreed[c].mean() for c, w in share.items())
    return {"n": sum(map(len, agreed.values()))} | spread(drawn, value, "agreement")


def main() -> None:
    command(__doc__).parse_args()
    rows, real, found = pd.read_csv(RESULTS / "isic_comparison_rows.csv"), confident(), {}
    rows = rows[(rows["method"] == "natural") & rows["second"]]
    for name in oracles():
        for least in SURE:
            chosen = real[real["probability"] >= least]
            by_class = {c: f"{own[name].mean():.2f} of {len(own)}" for c, own in chosen.groupby("class")}
            weights = rows.loc[rows[f"{name}: counted"], "target"]
            found[f"{name}, sure {least}"] = agreement(chosen, weights, name) | {"by class": by_class}
    write_json(RESULTS / "sure_real.json", found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
