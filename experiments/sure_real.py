"""How well does an oracle agree with the classifier? Its agreement on real images of which the classifier is as sure as of counterfactuals.

    python experiments/sure_real.py            3 minutes on one core; writes results/sure_real.json

Of the HAM10000 test images, one a lesion, those to which the explained classifier gives the target class with at least
.9 (and, since few melanomas are that sure, at least .5): the share in which an oracle sees that class too. Classes are weighted as the targets of the rows that the study
counts (`results/isic_comparison_rows.csv`), so that the number stands beside the flip rates of the study. Counterfactuals
may reach more than real images do: the oracle has seen the same lesion before and after, and only what changed differs.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
import torch
from isic_comparison import DATA, RESULTS
from isic_judge import oracles

from cfexplain.classifier.checks import predict
from cfexplain.images import resize, square
from cfexplain_classifiers import folded, load
from cfexplain_datasets import open_dataset

SURE, DRAWS = (0.9, 0.5), 2000


@torch.no_grad()
def seen() -> pd.DataFrame:
    """One line a sure test image: what the classifier says, and whether each oracle says so too."""
    classifier, rows = folded(load("ham10000")), []
    test = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset("test")
    for name in test.table.drop_duplicates("lesion_id").index:
        image = square(test.select([name])[0].image, classifier.image_size)[None]
        chance, place = predict(classifier, image).probabilities[0].max(0)
        if chance < min(SURE):
            continue
        label = classifier.classes[int(place)]
        row = {"image": str(name), "class": label, "chance": float(chance)}
        for oracle, (model, names) in oracles().items():
            said = model.classes[int(predict(model, resize(image, model.image_size).clamp(0, 1)).logits.argmax())]
            row[oracle] = said == names.get(label, label)
        rows.append(row)
    return pd.DataFrame(rows)


def agreement(real: pd.DataFrame, targets: pd.Series, oracle: str) -> dict[str, float | int]:
    """Mean agreement, classes weighted as the targets, with a percentile bootstrap over the images of each class."""
    share, rng = targets.value_counts(normalize=True), np.random.default_rng(0)
    share = share[[label for label in share.index if (real["class"] == label).any()]]
    share /= share.sum()
    agreed = {label: real.loc[real["class"] == label, oracle].to_numpy(dtype=float) for label in share.index}
    drawn = sum(w * rng.choice(agreed[c], (DRAWS, len(agreed[c]))).mean(1) for c, w in share.items())
    low, high = np.quantile(drawn, (0.025, 0.975))
    n = sum(len(values) for values in agreed.values())
    return {"n": n, "agreement": float(sum(w * agreed[c].mean() for c, w in share.items())), "low": low, "high": high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    rows, real = pd.read_csv(RESULTS / "isic_comparison_rows.csv"), seen()
    rows = rows[(rows["method"] == "natural") & rows["second"]]
    found = {
        f"{name}, sure {sure}": agreement(chosen, rows.loc[rows[f"{name}: counted"], "target"], name)
        | {"by class": {c: f"{own[name].mean():.2f} of {len(own)}" for c, own in chosen.groupby("class")}}
        for name in oracles()
        for sure in SURE
        for chosen in [real[real["chance"] >= sure]]
    }
    (RESULTS / "sure_real.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
