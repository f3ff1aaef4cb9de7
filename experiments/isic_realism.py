"""Are the counterfactuals of `isic_comparison.py` as ordinary as real images of the class they are to show?

    python experiments/isic_realism.py            5 minutes on one core; writes results/isic_realism.*

A method of which no counterfactuals are at hand keeps what was measured before.

Held-out real images are the validation split's. Percentiles are mid-ranks among those of the target class; classes with
fewer than 40 of them are pooled, and n stands beside every number. How far a real image is from its neighbours is measured
without the other photographs of its lesion, of which no counterfactual has any. The witness took no part in the search.
KID (Binkowski et al., ICLR 2018) and sFID (Jeanneret et al., CVPR 2023) are torchmetrics', of the witness's features.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from isic_comparison import METHODS, explained, read_second
from scipy.stats import percentileofscore
from shared import RESULTS, cell, command, ham10000, in_batches, interval, markdown, write_json
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from cfexplain_classifiers import load
from cfexplain_classifiers.batches import evaluation_batches

RANKS = ("estimator", "witness", "neighbours")
FEW, NARROW, NEIGHBOURS, SPLITS = 40, 3, 5, 10
"""Classes with fewer held-out images are pooled; the tap whose 48 channels a Frechet distance of 219 images can bear."""


def pooled(maps: list[Tensor]) -> Tensor:
    """Tapped features as one vector an image: the mean of each map over its positions."""
    return torch.cat([tap.mean((2, 3)) for tap in maps], 1)


def as_is(num_features: int) -> nn.Identity:
    """An encoder of what is encoded, since torchmetrics asks for one."""
    encoder = nn.Identity()
    encoder.num_features = num_features
    return encoder


def knn_distance(features: Tensor, reference: Tensor) -> Tensor:
    """Mean distance to the nearest references, in standard deviations of the reference (a constant one is left as it is)."""
    spread = reference.std(0, correction=0)
    scale = torch.where(spread > 0, spread, 1)
    distances = torch.cdist(features / scale, reference / scale, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.topk(NEIGHBOURS, largest=False).values.mean(1)


def kernel_distance(real: Tensor, shown: Tensor) -> float:
    """KID: squared maximum mean discrepancy of a cubic kernel, a mean over random halves; without bias by n."""
    size = min(len(real), len(shown)) // 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that features are kept in memory: they already are
        measure = KernelInceptionDistance(as_is(real.shape[1]), subsets=100, subset_size=size)
    torch.manual_seed(0)
    measure.update(real, real=True)
    measure.update(shown, real=False)
    return float(measure.compute()[0])


def split_frechet_distance(queries: Tensor, shown: Tensor) -> float:
    """sFID: mean Frechet distance of the queries of one half to the counterfactuals of the other, both ways.

    Without the halving a counterfactual is compared with its own query, of which it is nearly a copy.
    """
    measure, rng, found = FrechetInceptionDistance(as_is(queries.shape[1])), torch.Generator().manual_seed(0), []
    for _ in range(SPLITS):
        order = torch.randperm(len(queries), generator=rng)
        one, other = order[: len(order) // 2], order[len(order) // 2 : len(order) // 2 * 2]
        for a, b in ((one, other), (other, one)):
            measure.update(queries[a], real=True)
            measure.update(shown[b], real=False)
            found.append(float(measure.compute()))
            measure.reset()
    return float(np.mean(found))


class Held:
    """Real images of the validation split, and what classifier and witness make of them."""

    def __init__(self, classifier: Any, witness: Any) -> None:
        validation = ham10000("val")
        batches = list(evaluation_batches(validation, classifier.image_size))
        self.images, self.labels = (torch.cat([b[k] for b in batches]) for k in (0, 1))
        self.lesions = validation.table["lesion_id"].to_numpy()
        self.losses, self.witness_losses, self.features = seen(self.images, classifier, witness)
        self.few = torch.bincount(self.labels) < FEW

    def of(self, target: int) -> Tensor:
        """Which images are of the target class, or of the rare classes pooled with it."""
        return self.few[self.labels] if self.few[target] else self.labels == target

    def apart(self, own: Tensor) -> Tensor:
        """Neighbour distances of some sixty of these images, each among those of other lesions."""
        reference, lesions = self.features[own], self.lesions[own.numpy()]
        chosen = range(0, len(reference), max(1, len(reference) // 60))
        return torch.cat(
            [knn_distance(reference[[k]], reference[torch.as_tensor(lesions != lesions[k])]) for k in chosen]
        )

    def matched(self, wanted: Tensor) -> Tensor:
        """Images of the same classes as are wanted, as many of each as there are, at most."""
        own = [(self.labels == t).nonzero().squeeze(1)[: int((wanted == t).sum())] for t in wanted.unique()]
        return self.images[torch.cat(own)]


def seen(images: Tensor, classifier: Any, witness: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Estimated losses by both, and the witness's pooled features."""
    return (
        in_batches(lambda x: classifier(x).loss, images),
        in_batches(lambda x: witness(x).loss, images),
        in_batches(lambda x: pooled(witness(x).features), images),
    )


def percentiles(images: Tensor, wanted: Tensor, held: Held, classifier: Any, witness: Any) -> pd.DataFrame:
    """Mid-rank of each image's estimated losses and feature distance among real images of its class."""
    loss, other, features = seen(images, classifier, witness)
    apart, rows = {target: held.apart(held.of(target)) for target in set(wanted.tolist())}, []
    for i, target in enumerate(wanted.tolist()):
        own = held.of(target)
        scores = (
            (loss[i], held.losses[own]),
            (other[i], held.witness_losses[own]),
            (knn_distance(features[[i]], held.features[own]), apart[target]),
        )
        ranks = (percentileofscore(real.numpy(), float(score), kind="mean") for score, real in scores)
        rows.append(dict(zip(RANKS, ranks, strict=True)) | {"reference": int(own.sum())})
    return pd.DataFrame(rows)


def entry(method: str, found: list[Any], held: Held, classifier: Any, witness: Any) -> dict[str, Any]:
    """What is measured of a method's counterfactuals, or of the queries."""
    query, wanted = torch.cat([f.query for f in found]), torch.cat([f.target for f in found])
    shown = query if method == "queries" else torch.cat([f.image for f in found])
    ranks, real = percentiles(shown, wanted, held, classifier, witness), held.matched(wanted)

    def encoded(images: Tensor, taps: slice) -> Tensor:
        return in_batches(lambda x: pooled(witness(x).features[taps]), images).double()

    deep, narrow = slice(-1, None), slice(NARROW, NARROW + 1)
    return {
        "method": method, "n": len(found), **{c: interval(ranks[c]) for c in RANKS},
        "reference": ranks["reference"].mean(), "kid": kernel_distance(encoded(real, deep), encoded(shown, deep)),
        "real": len(real), "sfid": split_frechet_distance(encoded(query, narrow), encoded(shown, narrow)),
    }  # fmt: skip


def main() -> None:
    command(__doc__).parse_args()
    classifier, witness, path = explained(""), load("witness"), RESULTS / "isic_realism.json"
    held, entries = Held(classifier, witness), []
    before = {e["method"]: e for e in json.loads(path.read_text())} if path.exists() else {}
    for method in ("queries", *(m.name for m in METHODS["main"])):
        found = [f for _, f in read_second("natural" if method == "queries" else method, classifier)]
        if found:
            entries.append(entry(method, found, held, classifier, witness))
        elif method in before:
            entries.append(before[method])
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
