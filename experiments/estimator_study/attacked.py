"""(c) What attacks and edits do to the estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from isic_comparison import manifest, picture_and_mask
from torch import Tensor

from cfexplain_classifiers import LesionClassifier, folded, load
from estimator_study.edit import attacks, explanations
from estimator_study.head import OTHER, SOFTMAX, Head, heads
from estimator_study.interval import mean_of
from estimator_study.results import OUT, write
from estimator_study.seen import Array, Seen, look
from estimator_study.sets import ham10000_sets


@dataclass(frozen=True, eq=False)
class Witnesses:
    """The classifier, its heads and the other network, which see the same lesions before and after.

    Attributes:
        network: the classifier that is attacked and explained.
        other: shares no weights with it.
        judges: heads of the network by name.
        usual: max-softmax of the network on validation images.
    """

    network: LesionClassifier
    other: LesionClassifier
    judges: Mapping[str, Head]
    usual: Array

    @classmethod
    def called(cls) -> Witnesses:
        """`ham10000` with its joint and post hoc heads, and `witness`."""
        network, other = folded(load("ham10000")), folded(load("witness"))
        sets = ham10000_sets(network)
        few = {k: v for k, v in sets.items() if k == "training" or k.startswith("validation")}
        return cls(network, other, heads(network, few, 0), sets["validation"].confidence())

    def see(self, images: Tensor, labels: Tensor) -> tuple[Seen, Seen]:
        """What the network and the other one make of some images."""
        return look(self.network, [(images, labels)]), look(self.other, [(images, labels)])

    def testify(self, before: tuple[Seen, Seen], after: tuple[Seen, Seen]) -> dict[str, Array]:
        """True losses and estimates, before and after."""
        (ours, theirs), (ours_after, theirs_after) = before, after
        columns = {"true before": ours.true.numpy(), "true after": ours_after.true.numpy()}
        columns |= {f"{OTHER}: true before": theirs.true.numpy(), f"{OTHER}: true after": theirs_after.true.numpy()}
        columns |= {f"{OTHER}: before": theirs.joint.numpy(), f"{OTHER}: after": theirs_after.joint.numpy()}
        for head, judge in self.judges.items():
            columns |= {f"{head}: before": judge(ours), f"{head}: after": judge(ours_after)}
        for moment, seen in (("before", ours), ("after", ours_after)):
            columns[f"{SOFTMAX}: {moment}"] = (seen.confidence() - self.usual.mean()) / self.usual.std()
        return columns


def attacked(count: int) -> None:
    """Estimates and true losses before and after, of the first lesions of the list."""
    witnesses, lesions = Witnesses.called(), manifest()[:count]
    network = witnesses.network
    pairs = [picture_and_mask(lesion, network.image_size) for lesion in lesions]
    queries, labels = torch.cat([q for q, _ in pairs]), torch.tensor([int(lesion.label or 0) for lesion in lesions])
    before = witnesses.see(queries, labels)
    second = before[0].logits.topk(2).indices[:, 1]
    changed = attacks(network, queries, second, witnesses.judges)
    answers = explanations(network, lesions, pairs, second)
    changed |= {method: torch.cat([a.image for a in found]) for method, found in answers.items()}
    frames = []
    for name, images in changed.items():
        after = witnesses.see(images, labels)
        frame = pd.DataFrame({"condition": name, "image": [lesion.id for lesion in lesions]})
        frame = frame.assign(
            label=named(network, labels),
            source=named(network, before[0].logits.argmax(1)),
            second=named(network, second),
            status=[a.status[0].value for a in answers[name]] if name in answers else "",
            reached=(after[0].logits.argmax(1) == second).numpy(),
            right=(before[0].logits.argmax(1) == labels).numpy(),
            change=(images - queries).abs().mean((1, 2, 3)).numpy(),
            **witnesses.testify(before, after),
        )
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    rows.to_csv(OUT / "rows.csv", index=False, float_format="%.5g")
    every = [*witnesses.judges, SOFTMAX, OTHER]
    write("attacked", summary(rows, every) | {"paired": paired(rows, every)})


def named(network: LesionClassifier, indices: Tensor) -> list[str]:
    """Names of classes."""
    return [network.classes[int(y)] for y in indices]


def summary(rows: pd.DataFrame, judges: Sequence[str]) -> dict[str, Any]:
    """What each condition did."""
    return {str(name): effect(part, judges) for name, part in rows.groupby("condition", sort=False)}


def effect(part: pd.DataFrame, judges: Sequence[str]) -> dict[str, Any]:
    """How many lesions of a condition reached the class, and the changes of true loss and of each estimate.

    `fooled` is the share, among rightly classified lesions that now get the second class, of those whose
    estimate fell although the loss with respect to the label rose.
    """
    flipped = part[part["right"] & part["reached"]]
    rose = flipped["true after"] > flipped["true before"]
    entry: dict[str, Any] = {
        "n": len(part),
        "right before": int(part["right"].sum()),
        "reached": int(part["reached"].sum()),
        "right and reached": len(flipped),
        "not found": int((~part["status"].isin(["", "found"])).sum()),
        "mean change": float(part["change"].mean()),
        "true loss": mean_of(part["true after"] - part["true before"]),
        "true loss, right before": mean_of((part["true after"] - part["true before"])[part["right"]]),
    }
    for judge in judges:
        change = part[f"{judge}: after"] - part[f"{judge}: before"]
        fell = change[flipped.index] < 0
        entry[judge] = {
            "before": float(part[f"{judge}: before"].mean()),
            "change": mean_of(change),
            "change, right and reached": mean_of(change[flipped.index]),
            "lowered": int((change < 0).sum()),
            "fooled": int((fell & rose).sum()),
        }
    return entry


def paired(rows: pd.DataFrame, judges: Sequence[str]) -> dict[str, Any]:
    """How much lower each estimate ends on the same lesions where the joint one is optimised."""
    after = {str(name): part.set_index("image") for name, part in rows.groupby("condition")}
    found = {}
    for a, b in (("attack on joint too", "attack"), ("regularised-dip", "dip"), ("natural", "dip")):
        if a in after and b in after:
            found[f"{a} minus {b}"] = {j: mean_of(after[a][f"{j}: after"] - after[b][f"{j}: after"]) for j in judges}
    return found
