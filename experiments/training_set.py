"""Training-set test: what can be learned of real nevi and melanomas from counterfactuals alone?

    python experiments/training_set.py          2 minutes on one core; after `isic_comparison.py`

As in DISC (Thiagarajan et al. 2021): a small classifier is trained on the counterfactuals of a method between nevus
and melanoma, each labelled with the class that it was asked for, and tested on real images. A change that shows what
tells the classes apart teaches it; a change that only fools the explained classifier teaches nothing, and as the
picture is still that of the other class, it even misleads (below 0.5: see the row of unchanged queries).

Fixed before anything was read: the counterfactuals are those of the lesions of `isic_comparison.py` that are nevi or
melanomas, are seen as one of both and were asked for the other, wherever every method has a row; failed searches
count. In the second variant the queries are added with the class that the explained classifier sees, so that all
labels are its own, as are the targets; the third has the diagnoses instead. The small classifier is a logistic
regression on the pooled features of SqueezeNet 1.1 as trained on ImageNet, which no method optimises; its C was
chosen on real images of the training split. Each label weighs the same, among changed and among unchanged images, so that
being changed says nothing of the class. Test images: one a lesion of the validation and test splits, without the lesions
of the list, all melanomas and the 500 nevi of the smallest digests; the list holds all melanomas of the test split, so
those of the test are of the validation split, on which the explained classifier was selected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from feature_distances import pooled
from isic_comparison import MAIN, RUN, read
from oracles import MEAN, SPREAD, start
from shared import (
    RESULTS,
    by_digest,
    cell,
    command,
    digest,
    ham10000,
    in_batches,
    manifest,
    markdown,
    spread,
    write_json,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from cfexplain.images import square
from cfexplain_classifiers import folded, load
from cfexplain_datasets.fingerprint import Fingerprints
from cfexplain_datasets.lesion import Lesion

OUT = RESULTS / "training_set"
CLASSES = ("nv", "mel")
FOIL = "dip"
C, POOL, NEVI, DRAWS, PERMUTATIONS = 0.01, 400, 500, 200, 100
ALONE, SEEN, TRUE = "alone", "with the queries as seen", "with the queries as diagnosed"
UNCHANGED, RANDOM, NEAREST = "queries, unchanged", "real images of the target class", "nearest real images of it"
QUERIES = "nothing else"
PERMUTED = {(QUERIES, TRUE), ("natural", ALONE), ("natural", SEEN)}

Features = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Training:
    """A training set; `pair` says from which query an image comes, `changed` whether it is the second of a pair."""

    name: str
    variant: str
    features: np.ndarray
    labels: np.ndarray
    pair: np.ndarray
    changed: np.ndarray

    def of(self, pairs: np.ndarray) -> Training:
        """The same with only these pairs, some of them several times."""
        chosen = np.concatenate([np.flatnonzero(self.pair == p) for p in pairs])
        parts = {name: getattr(self, name)[chosen] for name in ("features", "labels", "pair", "changed")}
        return replace(self, **parts)

    def weights(self) -> np.ndarray:
        """Each label the same, among changed and unchanged images; 1 on average."""
        group = 2 * self.changed + self.labels
        counts = np.bincount(group, minlength=4)
        return np.asarray(len(group) / (np.count_nonzero(counts) * counts[group]))


def to_bytes(images: Iterable[Tensor]) -> Tensor:
    """One batch of bytes, to be small in memory and alike in rounding."""
    return torch.stack([(image.clamp(0, 1) * 255).round().byte() for image in images])


def of_bytes(function: Features, images: Tensor) -> Tensor:
    return in_batches(lambda part: function(part.float() / 255), images)


def squeezenet() -> Features:
    """Mean over positions of the last map of ImageNet's SqueezeNet 1.1, 512 numbers an image."""
    network = start(CLASSES, False).network.features.eval()
    return lambda images: network((images - MEAN.view(3, 1, 1)) / SPREAD.view(3, 1, 1)).mean((2, 3))


def common(folder: Path, seed: int, listed: list[Lesion]) -> tuple[pd.DataFrame, dict[str, Tensor], Tensor]:
    """The pairs that all methods have: a table, each method's counterfactuals, and the queries."""
    names, rows = folded(load("ham10000")).classes, {}
    for method in MAIN:
        edits = read(method.name, seed, rows=folder)
        own = {image: f for image, f in edits if {names[int(f.source)], names[int(f.target)]} == set(CLASSES)}
        if own:
            rows[method.name] = own
    if not rows:
        raise SystemExit(f"no counterfactuals between {' and '.join(CLASSES)} in {folder}: search first")
    first = next(iter(rows.values()))
    diagnosis = {lesion.id: names[lesion.label or 0] for lesion in listed}
    shared = sorted(set.intersection(*map(set, rows.values())), key=digest)
    kept = [i for i in shared if diagnosis.get(i) in CLASSES]
    columns = {
        "image": kept,
        "diagnosis": [diagnosis[i] for i in kept],
        "seen": [names[int(first[i].source)] for i in kept],
        "target": [names[int(first[i].target)] for i in kept],
    }
    columns |= {f"found by {m}": [own[i].found[0] for i in kept] for m, own in rows.items()}
    images = {m: to_bytes(own[i].image[0] for i in kept) for m, own in rows.items()}
    return pd.DataFrame(columns), images, to_bytes(first[i].query[0] for i in kept)


def real_images(listed: list[str], size: int) -> tuple[pd.DataFrame, Tensor]:
    """Test images, and `POOL` training images a class: a table with label and split, and the images."""
    whole = ham10000()
    table = by_digest(whole)
    table = table[table["label"].isin(CLASSES)]
    held, training = table["split"] != "train", table["split"] == "train"
    held &= ~table["lesion_id"].isin(whole.table.loc[listed, "lesion_id"])
    parts = [table[held & (table["label"] == "mel")], table[held & (table["label"] == "nv")].head(NEVI)]
    parts += [table[training & (table["label"] == c)].head(POOL) for c in CLASSES]
    chosen = pd.concat(parts)
    queries = [i for i in listed if whole.table.at[i, "label"] in CLASSES]
    assert not Fingerprints.of(whole.select([*chosen.index, *queries])).twins(), "a photograph is there twice"
    return chosen, to_bytes(square(lesion.image, size) for lesion in whole.select(list(chosen.index)))


def coded(names: Iterable[str]) -> np.ndarray:
    """1 for a melanoma, 0 for a nevus."""
    return np.array([CLASSES.index(name) for name in names])


def nearest(classifier: Any, queries: Tensor, targets: np.ndarray, pool: Tensor, labels: np.ndarray) -> np.ndarray:
    """Of the pool's images that the classifier recognises as the target class, the one nearest in its pooled features."""

    def predicted(images: Tensor) -> Tensor:
        seen = classifier(images)
        return torch.cat([seen.logits.argmax(1, keepdim=True).float(), pooled(seen.features)], dim=1)

    own, theirs = of_bytes(predicted, queries)[:, 1:], of_bytes(predicted, pool)
    columns = torch.tensor([classifier.classes.index(c) for c in CLASSES])
    known, theirs = theirs[:, 0] == columns[torch.from_numpy(labels)], theirs[:, 1:]
    away = torch.cdist(own / theirs.std(0).clamp_min(1e-6), theirs / theirs.std(0).clamp_min(1e-6))
    allowed = known[None] & (torch.from_numpy(labels)[None] == torch.from_numpy(targets)[:, None])
    return away.where(allowed, torch.inf).argmin(1).numpy()


def in_order(targets: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For the k-th query of a target class, the k-th of the pool's images of it, from the start again at its end."""
    found = np.zeros(len(targets), dtype=int)
    for c in range(len(CLASSES)):
        own, wanted = np.flatnonzero(labels == c), np.flatnonzero(targets == c)
        found[wanted] = own[np.arange(len(wanted)) % len(own)]
    return found


def variants(name: str, changed: np.ndarray, queries: np.ndarray, pairs: pd.DataFrame) -> list[Training]:
    """The images that stand for the target class, alone and with the queries under either label."""
    target, number, ones = coded(pairs["target"]), np.arange(len(pairs)), np.ones(len(pairs), dtype=int)
    found, both = [Training(name, ALONE, changed, target, number, ones)], np.concatenate([changed, queries])
    for variant, column in ((SEEN, "seen"), (TRUE, "diagnosis")):
        labels = np.r_[target, coded(pairs[column])]
        found.append(Training(name, variant, both, labels, np.tile(number, 2), np.r_[ones, 0 * ones]))
    return found


def fitted(training: Training) -> Callable[[np.ndarray], np.ndarray]:
    """The small classifier: log odds of melanoma; of one class alone it learns nothing."""
    if len(np.unique(training.labels)) < len(CLASSES):
        return lambda features: np.zeros(len(features))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
    model.fit(training.features, training.labels, logisticregression__sample_weight=training.weights())
    return lambda features: np.asarray(model.decision_function(features))


@dataclass(frozen=True, eq=False)
class Examiner:
    """The test's labels and their resamplings, the same for all training sets; a lesion an image."""

    labels: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> Examiner:
        """How often each melanoma and each nevus is drawn, a line a draw; the first is the test as it is."""
        rng, counts = np.random.default_rng(0), []
        for n in (int(labels.sum()), int((1 - labels).sum())):
            counts.append(np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), DRAWS)]))
        return cls(labels, *counts)

    def auroc(self, scores: np.ndarray, draws: slice | Sequence[int] = slice(None)) -> np.ndarray:
        """Of each of these draws."""
        high, low = scores[self.labels == 1][:, None], scores[self.labels == 0][None]
        wins = (high > low) + 0.5 * (high == low)
        return np.asarray(((self.positive[draws] @ wins) * self.negative[draws]).sum(1) / wins.size)

    def balanced_accuracy(self, scores: np.ndarray) -> np.ndarray:
        """Of each draw, at even odds."""
        sensitivity = self.positive @ (scores[self.labels == 1] > 0) / self.positive.shape[1]
        specificity = self.negative @ (scores[self.labels == 0] <= 0) / self.negative.shape[1]
        return np.asarray((sensitivity + specificity) / 2)


def around_mean(draws: Sequence[float]) -> dict[str, float]:
    return spread(draws, float(np.mean(draws)))


def facts(scores: np.ndarray, examiner: Examiner) -> dict[str, Any]:
    """AUROC and balanced accuracy, with 95 % intervals over the test lesions."""
    auroc, balanced = examiner.auroc(scores), examiner.balanced_accuracy(scores)
    return {"auroc": spread(auroc[1:], auroc[0]), "balanced_accuracy": spread(balanced[1:], balanced[0])}


def resampled(pairs: pd.DataFrame) -> list[np.ndarray]:
    """Draws of the training pairs, in each direction as many as there are."""
    rng, targets = np.random.default_rng(1), coded(pairs["target"])
    own = [np.flatnonzero(targets == c) for c in range(len(CLASSES))]
    return [np.concatenate([rng.choice(o, len(o)) for o in own]) for _ in range(DRAWS)]


def judged(sets: list[Training], pairs: pd.DataFrame, test: np.ndarray, examiner: Examiner) -> list[dict[str, Any]]:
    """An entry a training set; what it has above another is drawn over training pairs and test lesions at once."""
    entries: list[dict[str, Any]] = []
    draws: dict[tuple[str, str], np.ndarray] = {}
    for training in sets:
        entry: dict[str, Any] = {"name": training.name, "variant": training.variant, "n": len(training.labels)}
        entry |= facts(fitted(training)(test), examiner)
        refits = [examiner.auroc(fitted(training.of(p))(test), [0, k + 1]) for k, p in enumerate(resampled(pairs))]
        draws[training.name, training.variant] = np.array(refits)
        entries.append(entry | {"refits": around_mean([r[0] for r in refits])})
        print(training.name, training.variant, entry["auroc"], flush=True)
    values = {(e["name"], e["variant"]): e["auroc"]["value"] for e in entries}
    for entry in entries:
        key = (entry["name"], entry["variant"])
        for kind, base in (("above_foil", (FOIL, key[1])), ("above_queries", (QUERIES, key[1]))):
            if base in draws and key != base:
                entry[kind] = spread(draws[key][:, 1] - draws[base][:, 1], values[key] - values[base])
    return entries


def chance(training: Training, test: np.ndarray, examiner: Examiner) -> dict[str, Any]:
    """The same images with permuted labels: where chance lies, and how far it reaches."""
    rng = np.random.default_rng(2)
    scores = [fitted(replace(training, labels=rng.permutation(training.labels)))(test) for _ in range(PERMUTATIONS)]
    return {
        "name": f"{training.name}, labels permuted",
        "variant": training.variant,
        "n": len(training.labels),
        "auroc": around_mean([examiner.auroc(s, [0])[0] for s in scores]),
        "balanced_accuracy": around_mean([examiner.balanced_accuracy(s)[0] for s in scores]),
    }


def table(found: dict[str, Any]) -> str:
    names = [
        "trained on",
        "",
        "images",
        "AUROC",
        "refits, AUROC",
        "balanced accuracy",
        f"above `{FOIL}`",
        "above the queries alone",
    ]
    return (
        f"{found['pairs']} pairs of query and counterfactual ({found['to_mel']} to melanoma, "
        f"{found['pairs'] - found['to_mel']} to nevus); tested on {found['melanomas']} melanomas and {found['nevi']} nevi, "
        f"one image a lesion. In brackets: 95 % over test lesions (permuted labels: over {PERMUTATIONS} permutations); "
        f"refits: the middle 95 % of {DRAWS} draws of the training pairs; above `{FOIL}`, above the queries alone: "
        "AUROC less that of this set in the same variant, drawn over both at once.\n\n"
    ) + markdown(
        names,
        (
            [
                e["name"],
                e["variant"],
                e["n"] or "",
                cell(e["auroc"]),
                cell(e.get("refits")),
                cell(e["balanced_accuracy"]),
            ]
            + [cell(e.get(kind), sign="+") for kind in ("above_foil", "above_queries")]
            for e in found["entries"]
        ),
    )


def training_sets(
    pairs: pd.DataFrame, images: dict[str, Tensor], queries: Tensor, pool: Tensor, labels: np.ndarray, see: Features
) -> tuple[list[Training], int]:
    """All of them, variant by variant; and how many different images are the nearest of a query."""
    targets, seen, known = coded(pairs["target"]), of_bytes(see, queries).numpy(), of_bytes(see, pool).numpy()
    alike = nearest(folded(load("ham10000")), queries, targets, pool, labels)
    changed = {m: of_bytes(see, x).numpy() for m, x in images.items()}
    changed |= {UNCHANGED: seen, RANDOM: known[in_order(targets, labels)], NEAREST: known[alike]}
    by_variant = zip(*(variants(name, x, seen, pairs) for name, x in changed.items()), strict=True)
    number = np.arange(len(pairs))
    own = [
        Training(QUERIES, v, seen, coded(pairs[c]), number, 0 * number)
        for v, c in ((SEEN, "seen"), (TRUE, "diagnosis"))
    ]
    return [*(t for group in by_variant for t in group), *own], len(set(alike.tolist()))


def explained(images: Tensor) -> np.ndarray:
    """The explained classifier's own log odds of melanoma against nevus."""
    classifier = folded(load("ham10000"))
    nv, mel = (classifier.classes.index(c) for c in CLASSES)
    logits = of_bytes(lambda x: classifier(x).logits, images)
    return (logits[:, mel] - logits[:, nv]).numpy()


def main() -> None:
    parser = command(__doc__)
    parser.add_argument(
        "--rows", type=Path, default=RUN / "rows", help="the rows that `isic_comparison.py` has written"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    listed = manifest()
    pairs, images, queries = common(args.rows, args.seed, listed)
    if pairs["target"].nunique() < len(CLASSES):
        raise SystemExit(f"{len(pairs)} pairs, none of them in one of the directions: search more lesions first")
    see, (real, real_bytes) = squeezenet(), real_images([lesion.id for lesion in listed], queries.shape[-1])
    labels, pool = coded(real["label"]), np.array(real["split"] == "train")
    sets, different = training_sets(pairs, images, queries, real_bytes[pool], labels[pool], see)
    test, examiner = of_bytes(see, real_bytes[~pool]).numpy(), Examiner.of(labels[~pool])
    odds = explained(real_bytes[~pool])
    found = {
        "C": C, "pairs": len(pairs), "to_mel": int(coded(pairs["target"]).sum()),
        "melanomas": int(examiner.labels.sum()), "nevi": int((1 - examiner.labels).sum()), "different_nearest": different,
        "entries": [
            *judged(sets, pairs, test, examiner),
            *(chance(t, test, examiner) for t in sets if (t.name, t.variant) in PERMUTED),
            {"name": "the explained classifier itself", "variant": "", "n": None} | facts(odds, examiner),
        ],
    }  # fmt: skip
    scores = {f"{t.name}; {t.variant}": fitted(t)(test) for t in sets} | {"explained classifier": odds}
    args.out.mkdir(parents=True, exist_ok=True)
    rows = pd.DataFrame({"image": real.index[~pool], "label": real["label"][~pool].to_numpy(), **scores})
    rows.to_csv(args.out / "rows.csv", index=False, float_format="%.3g")
    pairs.to_csv(args.out / "pairs.csv", index=False)
    write_json(args.out / "table.json", found)
    (args.out / "table.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
