"""The nearest real image of the target class, as a counterfactual: the yardstick for how far a change may go.

    python experiments/nearest_real.py            5 minutes on one core; writes results/nearest_real.json

Of the training images of the target class that the classifier recognises, the 20 nearest in its pooled features,
and of these the one nearest by LPIPS; for the lesions and targets of `isic_comparison.py`.
"""

from __future__ import annotations

import argparse
import json
from types import SimpleNamespace

import pandas as pd
import torch
from feature_distances import pooled
from isic_comparison import DATA, RESULTS, manifest, picture_and_mask, targets
from isic_judge import interval, oracles, wilson
from torch import Tensor

from cfexplain.explanation.metrics.oracle import ask_oracle
from cfexplain.explanation.metrics.perceptual import load_lpips
from cfexplain.images import square
from cfexplain_classifiers import folded, load
from cfexplain_datasets import open_dataset

NEAREST = 20


@torch.no_grad()
def known(classifier: torch.nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Training images that the classifier recognises, as bytes, with their pooled features and labels."""
    training = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset("train")
    images, features, labels = [], [], []
    for lesion in training:
        image = square(lesion.image, classifier.image_size)[None]  # type: ignore[arg-type]
        seen = classifier(image)
        if int(seen.logits.argmax()) == lesion.label:
            images.append((image * 255).round().byte())
            features.append(pooled(seen.features))
            labels.append(lesion.label)
    return torch.cat(images), torch.cat(features), torch.tensor(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    classifier, lpips, judges, rows = folded(load("ham10000")), load_lpips(DATA / "weights"), oracles(), []
    images, features, labels = known(classifier)
    spread = features.std(0).clamp_min(1e-6)
    for lesion in manifest():
        query, _ = picture_and_mask(lesion, classifier.image_size)
        with torch.no_grad():
            before = classifier(query)
        target = classifier.classes.index(targets(classifier, query)["second"])
        own = (labels == target).nonzero().squeeze(1)
        distance = ((features[own] - pooled(before.features)) / spread).square().sum(1)
        near = images[own[distance.topk(min(NEAREST, len(own)), largest=False).indices]].float() / 255
        with torch.no_grad():
            away = lpips(near, query.expand_as(near))
        best = near[[int(away.argmin())]]
        edit = SimpleNamespace(query=query, image=best, before=before, target=torch.tensor([target]))
        row = {"image": lesion.id, "lpips": float(away.min()), "l1": float((best - query).abs().mean())}
        for name, (oracle, classes) in judges.items():
            belief = ask_oracle(edit, oracle, classes=[classes.get(c, c) for c in classifier.classes])  # type: ignore[arg-type]
            row |= {f"{name}: counted": bool(belief.counted), f"{name}: flip": float(belief.flipped)}
        rows.append(row)
    frame = pd.DataFrame(rows)
    found = {
        "n": len(frame),
        "lpips": interval(frame, "lpips"),
        "l1": interval(frame, "l1"),
        "oracles": {n: wilson(frame.loc[frame[f"{n}: counted"], f"{n}: flip"]) for n in judges},
    }
    (RESULTS / "nearest_real.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
