"""Real images as a measure of counterfactuals: the nearest of the target class, and those predicted as confidently.

    python experiments/real_images.py nearest       5 minutes on one core; writes results/nearest_real.json
    python experiments/real_images.py sure          3 minutes; writes results/sure_real.json

`nearest`: of the training images of the target class that the classifier recognises, the 20 nearest in its pooled
features, and of these the one nearest by LPIPS, for the lesions and targets of `isic_comparison.py`: how far may a change go?

`sure`: of the HAM10000 test images, one a lesion, those to which the explained classifier gives the target class with at
least .9 (and, since few melanomas are that sure, at least .5): the share for which an oracle predicts that class too.
Classes are weighted as the targets of the rows that the study counts (`results/isic_comparison_rows.csv`), so that the
number stands beside the flip rates of the study. Counterfactuals may reach more than real images do: the oracle has seen
the same lesion before and after, and only what changed differs.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from feature_distances import pooled
from shared import (
    RESULTS,
    ask_oracles,
    command,
    ham10000,
    image_and_mask,
    interval,
    lpips,
    manifest,
    oracles,
    spread,
    targets,
    wilson,
    write_json,
)
from torch import Tensor

from cfexplain.classifier.checks import predict
from cfexplain.images import resize, square
from cfexplain_classifiers import folded, load

NEAREST, SURE, DRAWS = 20, (0.9, 0.5), 2000


@torch.no_grad()
def recognised(classifier: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Training images that the classifier recognises, as bytes, with their pooled features and labels."""
    rows = []
    for lesion in ham10000("train"):
        image = square(lesion.image, classifier.image_size)[None]
        seen = classifier(image)
        if int(seen.logits.argmax()) == lesion.label:
            rows.append(((image * 255).round().byte(), pooled(seen.features), torch.tensor([lesion.label])))
    images, features, labels = (torch.cat(part) for part in zip(*rows, strict=True))
    return images, features, labels


@torch.no_grad()
def nearest() -> dict[str, Any]:
    classifier, rows = folded(load("ham10000")), []
    images, features, labels = recognised(classifier)
    scale = features.std(0).clamp_min(1e-6)
    for lesion in manifest():
        query, _ = image_and_mask(lesion, classifier.image_size)
        before = classifier(query)
        target = classifier.classes.index(targets(classifier, query)["second"])
        own = (labels == target).nonzero().squeeze(1)
        distance = ((features[own] - pooled(before.features)) / scale).square().sum(1)
        near = images[own[distance.topk(min(NEAREST, len(own)), largest=False).indices]].float() / 255
        away = lpips()(near, query.expand_as(near))
        best = near[[int(away.argmin())]]
        row = {"image": lesion.id, "lpips": float(away.min()), "l1": float((best - query).abs().mean())}
        edit = SimpleNamespace(query=query, image=best, before=before, target=torch.tensor([target]))
        for name, answer in ask_oracles(edit, classifier.classes).items():
            row |= {f"{name}: counted": bool(answer.counted), f"{name}: flip": float(answer.flipped)}
        rows.append(row)
    frame = pd.DataFrame(rows)
    return {
        "n": len(frame),
        "lpips": interval(frame["lpips"]),
        "l1": interval(frame["l1"]),
        "oracles": {n: wilson(frame.loc[frame[f"{n}: counted"], f"{n}: flip"]) for n in oracles()},
    }


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


def sure() -> dict[str, Any]:
    rows, real, found = pd.read_csv(RESULTS / "isic_comparison_rows.csv"), confident(), {}
    rows = rows[(rows["method"] == "natural") & rows["second"]]
    for name in oracles():
        for least in SURE:
            chosen = real[real["probability"] >= least]
            by_class = {c: f"{own[name].mean():.2f} of {len(own)}" for c, own in chosen.groupby("class")}
            weights = rows.loc[rows[f"{name}: counted"], "target"]
            found[f"{name}, sure {least}"] = agreement(chosen, weights, name) | {"by class": by_class}
    return found


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("what", choices=["nearest", "sure"])
    what = parser.parse_args().what
    found = {"nearest": nearest, "sure": sure}[what]()
    write_json(RESULTS / f"{what}_real.json", found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
