"""What attacks and edits do to the estimated loss: does it fall although the true loss rises?

    python experiments/estimator.py attacked      5 minutes, 10 more without the comparison's rows; 40 test lesions
    python experiments/estimator.py table         writes results/estimator/table.md again from the rows

The first test lesions of the list of `isic_comparison.py`, each towards its second most likely class, by attacks and by
edits; images are judged in eight bits. Edits are the comparison's where it has them, else kept in runs/estimator/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from isic_comparison import keep, kept, place
from shared import RESULTS, RUNS, cell, command, ham10000, image_and_mask, interval, manifest, markdown
from torch import Tensor

import cfexplain
from cfexplain import DIP, NATURAL, PIXELS, REGULARISED_DIP, Prediction
from cfexplain.images import round8
from cfexplain.search.edit import Edit
from cfexplain_classifiers import folded, load
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_classifiers.hardening import corrupted
from cfexplain_datasets.splits import without_leaks

OUT = RESULTS / "estimator"
EPSILON, STEPS = 4 / 255, 20
JOINT, SOFTMAX, OTHER = "joint", "max-softmax", "witness network"
SCORERS = (JOINT, SOFTMAX, OTHER)
"""The network's own estimate, minus its largest probability, and the estimate of a network that shares no weights."""

PAIRS = (("attack on joint too", "attack"), ("regularised-dip", "dip"), ("natural", "dip"))


def uncertainty(found: Prediction) -> Any:
    return -found.logits.softmax(1).max(1).values.numpy()


@torch.no_grad()
def usual_uncertainty(network: Any) -> Any:
    """That of validation images, without copies of held-out ones."""
    validation = without_leaks(ham10000()).subset("val")
    batches = [network(images).logits for images, _ in evaluation_batches(validation, network.image_size)]
    return uncertainty(Prediction(torch.cat(batches)))


def attacked(count: int) -> pd.DataFrame:
    """Estimates and true losses before and after, a row a condition and lesion."""
    network, witness = folded(load("ham10000")), folded(load("witness"))
    usual, lesions = usual_uncertainty(network), manifest()[:count]
    pairs = [image_and_mask(lesion, network.image_size) for lesion in lesions]
    queries, labels = torch.cat([q for q, _ in pairs]), torch.tensor([int(lesion.label or 0) for lesion in lesions])

    @torch.no_grad()
    def estimates(images: Tensor, moment: str) -> tuple[Tensor, dict[str, Any]]:
        """The network's logits; true losses, and what every scorer estimates."""
        own, other = network(images), witness(images)
        return own.logits, {
            f"true {moment}": F.cross_entropy(own.logits, labels, reduction="none").numpy(),
            f"{OTHER}: true {moment}": F.cross_entropy(other.logits, labels, reduction="none").numpy(),
            f"{JOINT}: {moment}": own.loss.numpy(),
            f"{SOFTMAX}: {moment}": (uncertainty(own) - usual.mean()) / usual.std(),
            f"{OTHER}: {moment}": other.loss.numpy(),
        }

    logits, before = estimates(queries, "before")
    predicted, second = logits.topk(2).indices.T
    edits = explanations(network, lesions, pairs, second)
    changed = noisy(queries)
    changed |= {"attack": towards(network, queries, second, estimate=False)}
    changed |= {"attack on joint too": towards(network, queries, second, estimate=True)}
    changed |= {method: torch.cat([e.image for e in found]) for method, found in edits.items()}
    frames = []
    for name, images in changed.items():
        logits, after = estimates(images, "after")
        classes = {"label": labels, "source": predicted, "second": second}
        frame = pd.DataFrame({"condition": name, "image": [lesion.id for lesion in lesions]}).assign(
            **{k: [network.classes[int(y)] for y in v] for k, v in classes.items()},
            status=[e.status[0].value for e in edits[name]] if name in edits else "",
            reached=(logits.argmax(1) == second).numpy(),
            right=(predicted == labels).numpy(),
            change=(images - queries).abs().mean((1, 2, 3)).numpy(),
            **(before | after),
        )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def noisy(queries: Tensor) -> dict[str, Tensor]:
    """The queries with random signs of the attack's size, and with a fault each, in eight bits."""
    signs = torch.randn(queries.shape, generator=torch.Generator().manual_seed(0)).sign()
    return {
        "random signs": round8((queries + EPSILON * signs).clamp(0, 1)),
        "corrupted": round8(corrupted(queries, torch.Generator().manual_seed(0))),
    }


def towards(network: Any, queries: Tensor, second: Tensor, estimate: bool) -> Tensor:
    """Signed steps towards a class, and down the estimated loss, within `EPSILON` of every pixel."""
    change = torch.zeros_like(queries)
    for _ in range(STEPS):
        shown = (queries + change).clamp(0, 1).requires_grad_()
        found = network(shown)
        cost = F.cross_entropy(found.logits, second, reduction="sum")
        if estimate:
            cost = cost + found.loss.sum()
        (gradient,) = torch.autograd.grad(cost, shown)
        change = (change - 2.5 / STEPS * EPSILON * gradient.sign()).clamp(-EPSILON, EPSILON)
    return round8((queries + change).clamp(0, 1))


def explanations(
    network: Any, lesions: Sequence[Any], pairs: Sequence[tuple[Tensor, Tensor]], second: Tensor
) -> dict[str, list[Edit]]:
    """Edits of all lesions by method; the slow default is never searched here, and left out where some are missing."""
    found: dict[str, list[Edit]] = {}
    for method in (PIXELS, DIP, REGULARISED_DIP, NATURAL):
        edits = []
        for lesion, (query, mask), index in zip(lesions, pairs, second, strict=True):
            target = network.classes[int(index)]
            own = RUNS / "estimator" / "rows" / method.name / f"{lesion.id}-{target}"
            edit = kept(place(method.name, lesion.id, target, 0)) or kept(own)
            if edit is None and method is not NATURAL:
                edit = cfexplain.explain(network, query, target, method=method, mask=mask)
                keep(edit, network, own)
                print(lesion.id, edit, f"{edit.seconds[0]:.1f} s", flush=True)
            edits += [] if edit is None else [edit]
        if len(edits) == len(lesions):
            found[method.name] = edits
        else:
            print(f"{method.name} is left out: {len(edits)} of {len(lesions)} are searched", flush=True)
    return found


def by_condition(head: str, rows: pd.DataFrame, text: Callable[[pd.DataFrame, str], str]) -> str:
    """A row a condition, a column a scorer."""
    groups = rows.groupby("condition", sort=False)
    return markdown([head, *SCORERS], ([name, *(text(own, scorer) for scorer in SCORERS)] for name, own in groups))


def change_of(own: pd.DataFrame, scorer: str) -> pd.Series:
    return own[f"{scorer}: after"] - own[f"{scorer}: before"]


def lowered(own: pd.DataFrame, scorer: str) -> str:
    change = change_of(own, scorer)
    return f"{cell(interval(change), 2)}, {(change < 0).sum()} of {len(own)} fell"


def fooled(own: pd.DataFrame, scorer: str) -> str:
    """Rightly classified lesions that now get the second class, whose estimate fell although the true loss rose."""
    own = own[own["right"] & own["reached"]]
    return f"{((change_of(own, scorer) < 0) & (own['true after'] > own['true before'])).sum()} of {len(own)}"


def outcomes(rows: pd.DataFrame) -> str:
    """How many lesions of a condition reached the class, and the change of the true loss."""
    lines = []
    for name, own in rows.groupby("condition", sort=False):
        loss, missed = own["true after"] - own["true before"], ~own["status"].isin(["", "found"])
        lines.append(
            [
                name, f"{own['reached'].sum()} of {len(own)}", missed.sum(), f"{own['change'].mean():.4f}",
                cell(interval(loss), 2), f"{cell(interval(loss[own['right']]), 2)} of {own['right'].sum()}",
            ]
        )  # fmt: skip
    columns = ["reached the second class", "not found", "mean change", "true loss", "true loss, right before"]
    return markdown(["condition", *columns], lines)


def paired(rows: pd.DataFrame) -> str:
    """How much lower each estimate ends on the same lesions where the joint one is optimised."""
    after = rows.pivot(index="image", columns="condition", values=[f"{s}: after" for s in SCORERS])
    after = after.loc[rows["image"].unique()]  # in the order of the list, for the same draws
    lines = (
        [f"{a} minus {b}", *(cell(interval(after[f"{s}: after"][a] - after[f"{s}: after"][b]), 2) for s in SCORERS)]
        for a, b in PAIRS
        if {a, b} <= set(rows["condition"])
    )
    return markdown(["difference of the estimates afterwards", *SCORERS], lines)


def table(rows: pd.DataFrame) -> str:
    """What the rows say."""
    own = rows[rows["condition"] == rows["condition"].iloc[0]]
    return f"""# What attacks and edits do to the estimated loss of `ham10000`

Written by `experiments/estimator.py`; brackets are 95 % bootstrap intervals over lesions.
The first {len(own)} test lesions of `isic_comparison.manifest()`, {own["right"].sum()} of them rightly classified; each goes towards its
second most likely class. Estimates are standardised on validation images. Attacks: {STEPS} signed steps within 4/255 that raise the
probability of the second class; "on joint too" also lowers the estimated loss, as `regularised-dip` and `natural` do. The `witness`
network shares no weights. True losses are with respect to the dermatologist's label, which a tiny attack leaves true, while an edit may
rightly end it. Max-softmax is minus the largest probability, standardised too.

{outcomes(rows)}
{by_condition("change of the estimate", rows, lowered)}
The same lesion after two edits; what the joint estimate alone gained by being optimised would show in its column alone:

{paired(rows)}
Rightly classified lesions that reach the second class, and whose estimate fell although the loss of the label rose:

{by_condition("fell although the true loss rose", rows, fooled)}"""


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("part", choices=["attacked", "table"])
    parser.add_argument("--count", type=int, default=40, help="lesions of the list to attack and explain")
    args = parser.parse_args()
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    if args.part == "attacked":
        attacked(args.count).to_csv(OUT / "rows.csv", index=False, float_format="%.5g")
    text = table(pd.read_csv(OUT / "rows.csv", keep_default_na=False))
    (OUT / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
