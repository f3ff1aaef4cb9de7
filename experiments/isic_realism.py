"""Are the counterfactuals of `isic_comparison.py` as ordinary as real images of the class they are to show?

    python experiments/isic_realism.py            5 minutes on one core; writes results/isic_realism.*

A method of which no counterfactuals are at hand keeps what was measured before.

Held-out real images are the validation split's. Percentiles are among those of the target class; classes with fewer
than 40 of them are pooled, and n stands beside every number. How far a real image is from its neighbours is measured
without the other photographs of its lesion, of which no counterfactual has any. The witness took no part in the search.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import torch
from feature_distances import knn_distance, percentile_among, pooled
from image_distributions import kernel_distance, split_frechet_distance
from isic_comparison import METHODS, explained, read_second
from shared import RESULTS, cell, command, ham10000, in_batches, interval, markdown, write_json
from torch import Tensor

from cfexplain_classifiers import load
from cfexplain_classifiers.batches import evaluation_batches

RANKS = ("estimator", "witness", "neighbours")
FEW, NARROW = 40, 3
"""Classes with fewer held-out images are pooled; the tap whose 48 channels a Frechet distance of 219 images can bear."""


class Held:
    """Real images of the validation split, and what classifier and witness make of them."""

    def __init__(self, classifier: Any, witness: Any) -> None:
        validation = ham10000("val")
        batches = list(evaluation_batches(validation, classifier.image_size))
        self.images, self.labels = (torch.cat([b[k] for b in batches]) for k in (0, 1))
        self.lesions = validation.table["lesion_id"].to_numpy()
        self.losses = in_batches(lambda x: classifier(x).loss, self.images)
        self.witness_losses = in_batches(lambda x: witness(x).loss, self.images)
        self.features = in_batches(lambda x: pooled(witness(x).features), self.images)
        counts = torch.bincount(self.labels)
        self.group = {
            c: [c] if counts[c] >= FEW else [k for k in range(len(counts)) if counts[k] < FEW]
            for c in range(len(counts))
        }

    def of(self, target: int) -> Tensor:
        """Which images are of the target class, or of the rare classes pooled with it."""
        return torch.isin(self.labels, torch.tensor(self.group[target]))

    def apart(self, own: Tensor) -> Tensor:
        """Neighbour distances of some sixty of these images, each among those of other lesions."""
        reference, lesions = self.features[own], self.lesions[own.numpy()]
        chosen = range(0, len(reference), max(1, len(reference) // 60))
        return torch.cat(
            [knn_distance(reference[[k]], reference[torch.as_tensor(lesions != lesions[k])]) for k in chosen]
        )


def percentiles(images: Tensor, wanted: Tensor, held: Held, classifier: Any, witness: Any) -> pd.DataFrame:
    """Rank of each image's estimated losses and feature distance among real images of its class."""
    loss, other = in_batches(lambda x: classifier(x).loss, images), in_batches(lambda x: witness(x).loss, images)
    features, rows = in_batches(lambda x: pooled(witness(x).features), images), []
    apart = {target: held.apart(held.of(target)) for target in set(wanted.tolist())}
    for i, target in enumerate(wanted.tolist()):
        own = held.of(target)
        rows.append(
            {
                "estimator": float(percentile_among(loss[[i]], held.losses[own])),
                "witness": float(percentile_among(other[[i]], held.witness_losses[own])),
                "neighbours": float(percentile_among(knn_distance(features[[i]], held.features[own]), apart[target])),
                "reference": int(own.sum()),
            }
        )
    return pd.DataFrame(rows)


def matched(wanted: Tensor, held: Held) -> Tensor:
    """Held-out images of the same classes as are wanted, as many of each as there are, at most."""
    chosen = []
    for target in wanted.unique().tolist():
        own = (held.labels == target).nonzero().squeeze(1)
        chosen.append(own[: int((wanted == target).sum())])
    return held.images[torch.cat(chosen)]


def main() -> None:
    command(__doc__).parse_args()
    classifier, witness = explained(""), load("witness")
    held, entries = Held(classifier, witness), []
    path = RESULTS / "isic_realism.json"
    before = {e["method"]: e for e in json.loads(path.read_text())} if path.exists() else {}
    for method in ("queries", *(m.name for m in METHODS["main"])):
        rows = [f for _, f in read_second("natural" if method == "queries" else method, classifier)]
        if not rows:
            entries += [before[method]] if method in before else []
            continue
        query, wanted = torch.cat([f.query for f in rows]), torch.cat([f.target for f in rows])
        shown = query if method == "queries" else torch.cat([f.image for f in rows])
        ranks, real = percentiles(shown, wanted, held, classifier, witness), matched(wanted, held)
        kid, _ = kernel_distance(real, shown, lambda x: pooled(witness(x).features[-1:]))
        entries.append(
            {"method": method, "n": len(rows), **{c: interval(ranks[c]) for c in RANKS},
             "reference": ranks["reference"].mean(), "kid": kid, "real": len(real),
             "sfid": split_frechet_distance(query, shown, lambda x: pooled(witness(x).features[NARROW : NARROW + 1]))}
        )  # fmt: skip
    write_json(path, entries)
    table = markdown(
        ["images", "n", "percentile: estimator", "witness's estimator", "neighbours", "KID", "sFID"],
        (
            [e["method"], e["n"], *(cell(e[c], 0) for c in RANKS), f"{e['kid']:.3f}", f"{e['sfid']:.3f}"]
            for e in entries
        ),
    )
    (RESULTS / "isic_realism.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
