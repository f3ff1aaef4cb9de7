"""Counterfactuals of HAM10000 test lesions by each method; `isic_judge.py` measures them.

    python experiments/isic_comparison.py --shard 0/2                        hours on 2 cores; rows are kept one by one
    python experiments/isic_comparison.py --targets hard                     of nevi, melanoma
    python experiments/isic_comparison.py --methods ablations --targets second --first 60
    python experiments/isic_comparison.py --methods seeds --seed 1 --targets second --first 20
    python experiments/isic_comparison.py --edition 64 --targets second --first 60
    python experiments/isic_comparison.py --edition robust --targets second --first 60        after `robust.py`

The list is fixed before anything is computed: of the test split, one image a lesion (the smallest sha256 of the
image ids), all melanomas, and of the other classes those with the smallest digests. The targets of each are the second
most likely class and melanoma (nevus, where the classifier predicts melanoma). Failures count. Methods are
chosen on validation lesions with `witness` at hand; the other oracles are only read by `isic_judge.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared import COUNTS, RUNS, command, image_and_mask, manifest, targets
from torch import Tensor

import cfexplain
from cfexplain import DIP, DISC, FAST, NATURAL, PIXELS, REGULARISED_DIP, TV
from cfexplain.classifier.checks import predict
from cfexplain.images import resize, round8
from cfexplain.method.objective import total
from cfexplain.search.edit import Edit
from cfexplain.terms import CompactChange, EstimatedLoss, PerceptualDistance, SameColour, SparseChange, TotalVariation
from cfexplain.types import Status
from cfexplain_classifiers import folded, load

RUN = RUNS / "isic_comparison"
EDIT = NATURAL.edit
MAIN = (NATURAL, FAST, REGULARISED_DIP, DIP, TV)


def without(name: str, *terms: type) -> cfexplain.Method:
    """The default with terms left out."""
    return replace(NATURAL, name=f"natural, {name}", edit=replace(EDIT, objective=EDIT.objective.without(*terms)))


_VIEWED = replace(DIP.edit, views=EDIT.views, learning_rate=EDIT.learning_rate, steps=EDIT.steps)
_ON_PIXELS = replace(TV.edit, views=EDIT.views, objective=EDIT.objective, learning_rate=1e-2)
_SMOOTH_PIXELS = replace(_ON_PIXELS, objective=_ON_PIXELS.objective | total((10.0, TotalVariation())))
PGD = replace(PIXELS, name="pgd")
"""Stands for captum's projected gradient descent, see `attacked`."""

ABLATIONS = (
    without("no estimator", EstimatedLoss),
    without("no perceptual distance", PerceptualDistance),
    replace(NATURAL, name="natural, no views", edit=replace(EDIT, views=None)),
    replace(DIP, name="dip + views", edit=_VIEWED),
    replace(TV, name="pixels + views", edit=_ON_PIXELS),
    DISC,
    PIXELS,
    PGD,
)
TERMS = (
    without("free colour", SameColour),
    without("not compact", CompactChange),
    without("not sparse", SparseChange),
    replace(TV, name="pixels + views + TV", edit=_SMOOTH_PIXELS),
)
METHODS = {
    "main": MAIN,
    "ablations": ABLATIONS,
    "terms": TERMS,
    "seeds": (NATURAL, FAST, REGULARISED_DIP, DIP),
}


def wanted(classifier: Any, query: Tensor, which: str) -> list[str]:
    """The targets: both, the second most likely class, or melanoma of a nevus (`hard`)."""
    options = targets(classifier, query)
    if which == "hard":
        source = classifier.classes[int(predict(classifier, query).logits.argmax())]
        return [options["melanoma"]] if source == "nv" else []
    return list(dict.fromkeys(options.values() if which == "both" else [options["second"]]))


class Enlarged:
    """A classifier of 64 pixels that enlarges images to those of another."""

    image_size = 64

    def __init__(self, classifier: Any) -> None:
        self.classifier, self.classes = classifier, classifier.classes
        self.module, self.usual_loss = classifier.module, classifier.usual_loss

    def __call__(self, images: Tensor, /) -> cfexplain.Prediction:
        """Predict a batch of any size."""
        return self.classifier(resize(images, self.classifier.image_size))


def explained(edition: str) -> Any:
    """The classifier of an edition of the study: the shipped one, at 64 pixels, or the adversarially trained one."""
    if edition == "robust":
        return folded(load(RUNS / "robust" / "classifier.safetensors"))
    classifier = folded(load("ham10000"))
    return Enlarged(classifier) if edition == "64" else classifier


def attacked(classifier: Any, query: Tensor, target: str, mask: Tensor) -> Edit:
    """The query after captum's PGD: 40 steps of 1/255 within 8/255 towards the target."""
    from captum.robust import PGD as Attack

    start = cfexplain.explain(classifier, query, target, method=PIXELS, mask=mask, budget=0.0)
    began, index = time.perf_counter(), classifier.classes.index(target)
    attack = Attack(lambda x: classifier(x).logits, lower_bound=0.0, upper_bound=1.0)
    image = round8(attack.perturb(query, 8 / 255, 1 / 255, 40, index, targeted=True).detach())
    after = predict(classifier, image)
    status = Status.FOUND if int(after.logits.argmax()) == index else Status.NOT_FOUND
    return replace(
        start, anchor=query.clone(), painted=image.clone(), image=image, after=after, status=(status,), method="pgd", steps=(40,),
        alpha=(1.0,), seconds=(time.perf_counter() - began,),
    )  # fmt: skip


def search(args: argparse.Namespace) -> None:
    """Explain every row that is not there yet."""
    classifier, lesions = explained(args.edition), manifest()[: args.first]
    methods = [m for m in METHODS[args.methods] if not args.only or m.name in args.only.split(";")]
    shard, shards = map(int, args.shard.split("/"))
    for lesion in lesions[shard::shards]:
        query, mask = image_and_mask(lesion, classifier.image_size)
        for target in wanted(classifier, query, args.targets):
            for method in methods:
                folder = place(method.name, lesion.id, target, args.seed, args.edition)
                if (folder / "row.json").exists():
                    continue
                if method is PGD:
                    found = attacked(classifier, query, target, mask)
                else:
                    found = cfexplain.explain(classifier, query, target, method=method, mask=mask, seed=args.seed)
                keep(found, classifier, folder)
                print(lesion.id, lesion.label, found, f"{found.seconds[0]:.1f} s", flush=True)


def place(method: str, image: str, target: str, seed: int, edition: str = "") -> Path:
    """The folder of a row."""
    name = f"{method}-{seed}-{edition}".strip("-").replace(" ", "_").replace(",", "")
    return RUN / "rows" / name / f"{image}-{target}"


def keep(found: Edit, classifier: Any, folder: Path) -> None:
    """Write one explanation, row.json last."""
    cfexplain.save(cfexplain.describe(found, classifier), folder, figures=False)
    (folder / "row.json").write_text(json.dumps({"method": found.method, "seed": found.seed}))


def kept(folder: Path) -> Edit | None:
    return cfexplain.load(folder).edit if (folder / "row.json").exists() else None


def read(method: str, seed: int, edition: str = "", rows: Path = RUN / "rows") -> list[tuple[str, Edit]]:
    """The rows of a method, with the image's name."""
    paths = sorted((rows / place(method, "x", "y", seed, edition).parent.name).glob("*/row.json"))
    return [(path.parent.name.rsplit("-", 1)[0], cfexplain.load(path.parent).edit) for path in paths]


def read_second(method: str, classifier: Any) -> list[tuple[str, Edit]]:
    """The rows of a method whose target is the second most likely class."""
    return [(i, f) for i, f in read(method, 0) if targets(classifier, f.query)["second"] == f.classes[int(f.target)]]


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--methods", choices=METHODS, default="main")
    parser.add_argument("--only", default="", help="names of some of these methods, separated by semicolons")
    parser.add_argument("--targets", choices=["both", "second", "hard"], default="both")
    parser.add_argument("--edition", choices=["", "64", "robust"], default="", help="which classifier is explained")
    parser.add_argument("--shard", default="0/1", help="k/n: every n-th lesion from the k-th on")
    parser.add_argument("--first", type=int, default=sum(COUNTS.values()), help="only so many lesions of the list")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if unknown := set(filter(None, args.only.split(";"))) - {m.name for m in METHODS[args.methods]}:
        parser.error(f"there is no method {', '.join(unknown)} among the {args.methods}")
    search(args)


if __name__ == "__main__":
    main()
