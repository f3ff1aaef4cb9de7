"""(c) What attacks and edits do to the estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from isic_comparison import keep, kept, place
from shared import image_and_mask, manifest
from torch import Tensor

import cfexplain
from cfexplain import DIP, NATURAL, PIXELS, REGULARISED_DIP
from cfexplain.images import round8
from cfexplain.search.edit import Edit
from cfexplain_classifiers import LesionClassifier, folded, load
from cfexplain_classifiers.hardening import corrupted
from estimator_study.head import JOINT, OTHER, SOFTMAX, VALIDATED, Head, heads
from estimator_study.measure import mean_of
from estimator_study.seen import EPSILON, OUT, RUN, Array, Seen, ham10000_sets, look, write

ATTACKS = {"attack": "", "attack on joint too": JOINT, "attack on disturbed too": f"{VALIDATED} + disturbed"}
"""Attacks on the class, and the head whose estimate is lowered with it."""


def attacked(count: int) -> None:
    """Estimates and true losses before and after, of the first lesions of the list."""
    network, other = folded(load("ham10000")), folded(load("witness"))
    sets = ham10000_sets(network)
    few = {k: v for k, v in sets.items() if k == "training" or k.startswith("validation")}
    fitted, usual = heads(network, few, 0), sets["validation"].uncertainty()
    lesions = manifest()[:count]
    pairs = [image_and_mask(lesion, network.image_size) for lesion in lesions]
    queries, labels = torch.cat([q for q, _ in pairs]), torch.tensor([int(lesion.label or 0) for lesion in lesions])

    def estimates(images: Tensor, moment: str) -> tuple[Seen, dict[str, Array]]:
        """True losses, and what every scorer estimates."""
        own, witness = (look(n, [(images, labels)]) for n in (network, other))
        columns = {f"true {moment}": own.true.numpy(), f"{OTHER}: true {moment}": witness.true.numpy()}
        columns |= {f"{name}: {moment}": head(own) for name, head in fitted.items()}
        columns[f"{SOFTMAX}: {moment}"] = (own.uncertainty() - usual.mean()) / usual.std()
        return own, columns | {f"{OTHER}: {moment}": witness.joint.numpy()}

    before, columns = estimates(queries, "before")
    predicted, second = before.logits.topk(2).indices.T
    edits = explanations(network, lesions, pairs, second)
    changed = noisy(queries) | {k: towards(network, queries, second, fitted.get(h)) for k, h in ATTACKS.items()}
    changed |= {method: torch.cat([e.image for e in found]) for method, found in edits.items()}
    frames = []
    for name, images in changed.items():
        after, columns_after = estimates(images, "after")
        frame = pd.DataFrame({"condition": name, "image": [lesion.id for lesion in lesions]})
        classes = {"label": labels, "source": predicted, "second": second}
        frame = frame.assign(
            **{k: [network.classes[int(y)] for y in v] for k, v in classes.items()},
            status=[e.status[0].value for e in edits[name]] if name in edits else "",
            reached=(after.logits.argmax(1) == second).numpy(),
            right=(predicted == labels).numpy(),
            change=(images - queries).abs().mean((1, 2, 3)).numpy(),
            **(columns | columns_after),
        )
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    rows.to_csv(OUT / "rows.csv", index=False, float_format="%.5g")
    scorers = [*fitted, SOFTMAX, OTHER]
    found = {str(name): effect(part, scorers) for name, part in rows.groupby("condition", sort=False)}
    write("attacked", found | {"paired": paired(rows, scorers)})


def noisy(queries: Tensor) -> dict[str, Tensor]:
    """The queries with random signs of the attack's size, and with a fault each, in eight bits."""
    signs = torch.randn(queries.shape, generator=torch.Generator().manual_seed(0)).sign()
    return {
        "random signs": round8((queries + EPSILON * signs).clamp(0, 1)),
        "corrupted": round8(corrupted(queries, torch.Generator().manual_seed(0))),
    }


def towards(network: LesionClassifier, queries: Tensor, second: Tensor, head: Head | None, steps: int = 20) -> Tensor:
    """Signed steps towards a class, and down the estimate of a head, within `EPSILON` of every pixel."""
    change = torch.zeros_like(queries)
    for _ in range(steps):
        shown = (queries + change).clamp(0, 1).requires_grad_()
        found = network(shown)
        cost = F.cross_entropy(found.logits, second, reduction="sum")
        if head is not None:
            cost = cost + head.standardised(found).sum()
        (gradient,) = torch.autograd.grad(cost, shown)
        change = (change - 2.5 / steps * EPSILON * gradient.sign()).clamp(-EPSILON, EPSILON)
    return round8((queries + change).clamp(0, 1))


def explanations(
    network: LesionClassifier, lesions: Sequence[Any], pairs: Sequence[tuple[Tensor, Tensor]], second: Tensor
) -> dict[str, list[Edit]]:
    """Edits of all lesions by method; a method without all of them is left out.

    The comparison's where it has one, else our own; the slow default is never searched here.
    """
    found: dict[str, list[Edit]] = {}
    for method in (PIXELS, DIP, REGULARISED_DIP, NATURAL):
        edits = []
        for lesion, (query, mask), index in zip(lesions, pairs, second, strict=True):
            target = network.classes[int(index)]
            own = RUN / "rows" / method.name / f"{lesion.id}-{target}"
            edit = kept(place(method.name, lesion.id, target, 0)) or kept(own)
            if edit is None and method is not NATURAL:
                edit = cfexplain.explain(network, query, target, method=method, mask=mask)
                keep(edit, network, own)
                print(lesion.id, edit, f"{edit.seconds[0]:.1f} s", flush=True)
            edits += [] if edit is None else [edit]
        if len(edits) == len(lesions):
            found[method.name] = edits
        else:
            print(
                f"{method.name}: {len(lesions) - len(edits)} of {len(lesions)} not searched yet, left out", flush=True
            )
    return found


def effect(part: pd.DataFrame, scorers: Sequence[str]) -> dict[str, Any]:
    """How many lesions of a condition reached the class, and the changes of true loss and of each estimate.

    `fooled` is the number, among rightly classified lesions that now get the second class, of those whose
    estimate fell although the loss with respect to the label rose.
    """
    flipped = part[part["right"] & part["reached"]]
    rose = flipped["true after"] > flipped["true before"]
    loss = part["true after"] - part["true before"]
    entry: dict[str, Any] = {
        "n": len(part),
        "right before": int(part["right"].sum()),
        "reached": int(part["reached"].sum()),
        "right and reached": len(flipped),
        "not found": int((~part["status"].isin(["", "found"])).sum()),
        "mean change": float(part["change"].mean()),
        "true loss": mean_of(loss),
        "true loss, right before": mean_of(loss[part["right"]]),
    }
    for scorer in scorers:
        change = part[f"{scorer}: after"] - part[f"{scorer}: before"]
        entry[scorer] = {
            "before": float(part[f"{scorer}: before"].mean()),
            "change": mean_of(change),
            "change, right and reached": mean_of(change[flipped.index]),
            "lowered": int((change < 0).sum()),
            "fooled": int(((change[flipped.index] < 0) & rose).sum()),
        }
    return entry


def paired(rows: pd.DataFrame, scorers: Sequence[str]) -> dict[str, Any]:
    """How much lower each estimate ends on the same lesions where the joint one is optimised."""
    after: Mapping[str, pd.DataFrame] = {str(name): part.set_index("image") for name, part in rows.groupby("condition")}
    pairs = [("attack on joint too", "attack"), ("regularised-dip", "dip"), ("natural", "dip")]
    return {
        f"{a} minus {b}": {s: mean_of(after[a][f"{s}: after"] - after[b][f"{s}: after"]) for s in scorers}
        for a, b in pairs
        if a in after and b in after
    }
