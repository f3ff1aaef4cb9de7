"""Counterfactuals of HAM10000 test lesions by each method; `isic_judge.py` says what they are worth.

    python experiments/isic_comparison.py --shard 0/2                        hours on 2 cores; rows are kept one by one
    python experiments/isic_comparison.py --targets hard                     of nevi, melanoma
    python experiments/isic_comparison.py --targets pair --anchors           and of melanomas, nevus: for `training_set.py`
    python experiments/isic_comparison.py --methods ablations --targets second --first 60
    python experiments/isic_comparison.py --methods seeds --seed 1 --targets second --first 20
    python experiments/isic_comparison.py --edition 64 --targets second --first 60
    python experiments/isic_comparison.py --edition robust --targets second --first 60        after `robust.py`

The list is fixed before anything is computed: of the test split, one image a lesion (the smallest sha256 of the
image ids), all melanomas, and of the other classes those with the smallest digests. Each is asked for the second
most likely class, and for melanoma (nevus, where the classifier sees a melanoma). Failures count. Methods are
chosen on validation lesions with `witness` at hand; the other oracles are only read by `isic_judge.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from centroids import Extended, NearClass, fit_centroids

import cfexplain
from cfexplain import methods
from cfexplain.classifier.checks import predict
from cfexplain.explanation.folder import load as load_explanation
from cfexplain.images import Square, resize, round8, square
from cfexplain.method.objective import total
from cfexplain.search.edit import Edit
from cfexplain.terms import (
    CompactChange,
    EstimatedLoss,
    PerceptualDistance,
    SameColour,
    SparseChange,
    TotalVariation,
)
from cfexplain.types import Status
from cfexplain_classifiers import folded, load
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_datasets import open_dataset
from cfexplain_datasets.lesion import Lesion

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CFEXPLAIN_DATA", ROOT.parent / "shared" / "data"))
RUN = ROOT / "runs" / "isic_comparison"
RESULTS = ROOT / "experiments" / "results"
COUNTS = {"mel": 81, "nv": 90, "bkl": 12, "bcc": 12, "akiec": 12, "df": 6, "vasc": 6}

_EDIT = methods.NATURAL.edit
MAIN = (methods.NATURAL, methods.NATURAL_WARM, methods.REGULARISED_DIP, methods.DIP, methods.TV)


def without(name: str, *terms: type) -> cfexplain.Method:
    """The default with terms left out."""
    return replace(
        methods.NATURAL, name=f"natural, {name}", edit=replace(_EDIT, objective=_EDIT.objective.without(*terms))
    )


_VIEWED = replace(methods.DIP.edit, views=_EDIT.views, learning_rate=_EDIT.learning_rate, steps=_EDIT.steps)
_ON_PIXELS = replace(methods.TV.edit, views=_EDIT.views, objective=_EDIT.objective, learning_rate=1e-2)
_SMOOTH_PIXELS = replace(_ON_PIXELS, objective=_ON_PIXELS.objective | total((10.0, TotalVariation())))
_CENTRED = replace(methods.DIP.edit, objective=methods.DIP.edit.objective | total((0.3, NearClass())))
PGD = replace(methods.PIXELS, name="pgd")
"""Stands for captum's projected gradient descent, see `attacked`."""

ABLATIONS = (
    without("no estimator", EstimatedLoss),
    without("no perceptual distance", PerceptualDistance),
    replace(methods.NATURAL, name="natural, no views", edit=replace(_EDIT, views=None)),
    replace(methods.DIP, name="dip + views", edit=_VIEWED),
    replace(methods.TV, name="pixels + views", edit=_ON_PIXELS),
    replace(methods.DIP, name="dip + centroids", edit=_CENTRED),
    methods.DISC,
    methods.PIXELS,
    PGD,
)
TERMS = (
    without("free colour", SameColour),
    without("not compact", CompactChange),
    without("not sparse", SparseChange),
    replace(methods.TV, name="pixels + views + TV", edit=_SMOOTH_PIXELS),
)
METHODS = {
    "main": MAIN,
    "ablations": ABLATIONS,
    "terms": TERMS,
    "seeds": (methods.NATURAL, methods.NATURAL_WARM, methods.REGULARISED_DIP, methods.DIP),
}


def manifest() -> list[Lesion]:
    """The fixed list, in the order of the digests, so that any beginning of it is a fair sample."""
    test = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset("test")
    table = test.table.assign(digest=[hashlib.sha256(str(i).encode()).hexdigest() for i in test.table.index])
    table = table.sort_values("digest").drop_duplicates("lesion_id")
    kept = pd.concat([table[table["label"] == label].head(count) for label, count in COUNTS.items()])
    return list(test.select(list(kept.sort_values("digest").index)))


def picture_and_mask(lesion: Lesion, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The classifier's square, and the lesion's mask in it, each as a batch of one."""
    assert lesion.mask is not None, "HAM10000 has a mask for every image"
    mask = Square.of(*lesion.mask.shape[-2:]).crop(lesion.mask)
    return square(lesion.image, size)[None], (resize(mask[None], size) > 0.5).float()


def targets(classifier: cfexplain.Classifier, query: torch.Tensor) -> dict[str, str]:
    """The two questions asked of an image, by name; one where they are the same."""
    with torch.no_grad():
        first, second = (classifier.classes[i] for i in classifier(query).logits[0].topk(2).indices)
    return {"second": second, "melanoma": "nv" if first == "mel" else "mel"}


def wanted(classifier: cfexplain.Classifier, query: torch.Tensor, which: str) -> list[str]:
    """The targets to search for: both, the second most likely class, melanoma of a nevus (`hard`), or also the reverse (`pair`)."""
    asked = targets(classifier, query)
    if which in ("hard", "pair"):
        with torch.no_grad():
            source = classifier.classes[int(classifier(query).logits.argmax())]
        return [asked["melanoma"]] if source == "nv" or (source, which) == ("mel", "pair") else []
    return list(dict.fromkeys(asked.values() if which == "both" else [asked["second"]]))


class Enlarged(Extended):
    """A classifier of smaller pictures: they are enlarged before it looks."""

    image_size = 64  # type: ignore[assignment]

    def __call__(self, images: torch.Tensor, /) -> cfexplain.Prediction:
        """Predict a batch of any size."""
        return self.classifier(resize(images, self.classifier.image_size))


def explained(edition: str) -> Any:
    """The classifier of an edition of the study: the shipped one, at 64 pixels, or the adversarially trained one."""
    if edition == "robust":
        return folded(load(ROOT / "runs" / "robust" / "classifier.safetensors"))
    classifier = folded(load("ham10000"))
    return Enlarged(classifier) if edition == "64" else classifier


def with_centroids(classifier: Any) -> Any:
    """The same, knowing the class centroids of validation images."""
    validation = open_dataset("ham10000", DATA / "isic" / "ham10000_200x150").subset("val")
    return fit_centroids(classifier, evaluation_batches(validation, classifier.image_size))


def attacked(classifier: Any, query: torch.Tensor, target: str, mask: torch.Tensor) -> Edit:
    """What captum's PGD makes of the query: 40 steps of 1/255 within 8/255 towards the target."""
    from captum.robust import PGD as Attack

    start = cfexplain.explain(classifier, query, target, method=methods.PIXELS, mask=mask, budget=0.0)
    began, index = time.perf_counter(), classifier.classes.index(target)
    attack = Attack(lambda x: classifier(x).logits, lower_bound=0.0, upper_bound=1.0)
    image = round8(attack.perturb(query, 8 / 255, 1 / 255, 40, index, targeted=True).detach())
    after = predict(classifier, image)
    status = Status.FOUND if int(after.logits.argmax()) == index else Status.NOT_FOUND
    return replace(
        start, anchor=query.clone(), painted=image.clone(), image=image, after=after, status=(status,), method="pgd", steps=(40,),
        alpha=(1.0,), seconds=(time.perf_counter() - began,),
    )  # fmt: skip


def explain(
    classifier: Any, query: torch.Tensor, target: str, mask: torch.Tensor, method: Any, seed: int, anchors: Path | None
) -> Edit:
    """One row."""
    if method is PGD:
        return attacked(classifier, query, target, mask)
    return cfexplain.explain(classifier, query, target, method=method, mask=mask, seed=seed, anchors=anchors)


def search(args: argparse.Namespace) -> None:
    """Explain every row that is not there yet."""
    classifier, lesions = explained(args.edition), manifest()[: args.first]
    if args.methods == "ablations":
        classifier = with_centroids(classifier)
    shard, shards = map(int, args.shard.split("/"))
    for lesion in lesions[shard::shards]:
        query, mask = picture_and_mask(lesion, classifier.image_size)
        for target in wanted(classifier, query, args.targets):
            for method in METHODS[args.methods]:
                if args.only and method.name not in args.only.split(";"):
                    continue
                folder = place(method.name, lesion.id, target, args.seed, args.edition)
                if not (folder / "row.json").exists():
                    anchors = RUN / "anchors" if args.anchors else None
                    found = explain(classifier, query, target, mask, method, args.seed, anchors)
                    keep(found, classifier, folder)
                    print(lesion.id, lesion.label, found, f"{found.seconds[0]:.1f} s", flush=True)


def place(method: str, image: str, target: str, seed: int, edition: str = "") -> Path:
    """The folder of a row."""
    name = f"{method}-{seed}-{edition}".strip("-").replace(" ", "_").replace(",", "")
    return RUN / "rows" / name / f"{image}-{target}"


def keep(found: Edit, classifier: cfexplain.Classifier, folder: Path) -> None:
    """Write one explanation, the record last."""
    cfexplain.save(cfexplain.describe(found, classifier), folder, figures=False)
    (folder / "row.json").write_text(json.dumps({"method": found.method, "seed": found.seed}))


def read(method: str, seed: int, edition: str = "") -> list[tuple[str, Edit]]:
    """The rows of a method, with the image's name."""
    parent = place(method, "x", "y", seed, edition).parent
    return [(f.parent.name.rsplit("-", 1)[0], load_explanation(f.parent).edit) for f in sorted(parent.glob("*/row.json"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", choices=METHODS, default="main")
    parser.add_argument("--only", default="", help="names of some of these methods, separated by semicolons")
    parser.add_argument("--targets", choices=["both", "second", "hard", "pair"], default="both")
    parser.add_argument("--edition", choices=["", "64", "robust"], default="", help="which classifier is explained")
    parser.add_argument("--shard", default="0/1", help="k/n: every n-th lesion from the k-th on")
    parser.add_argument("--first", type=int, default=sum(COUNTS.values()), help="only so many lesions of the list")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--anchors", action="store_true", help="keep anchors and begin at kept ones: `seconds` are less")
    args = parser.parse_args()
    if unknown := set(filter(None, args.only.split(";"))) - {m.name for m in METHODS[args.methods]}:
        parser.error(f"there is no method {', '.join(unknown)} among the {args.methods}")
    search(args)


if __name__ == "__main__":
    main()
