"""The numbers of all parts in words and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared import cell, markdown

from cfexplain import NATURAL
from estimator_study.head import JOINT, OTHER, SEEDS, SOFTMAX, TRAINED, VALIDATED
from estimator_study.seen import OUT

SHOWN = {
    "spearman": "Spearman with the true loss",
    "wrong": "misclassification AUROC",
    "wrong, combined": "the same, combined with max-softmax",
    "ood": "out-of-distribution AUROC, mean of three kinds",
    "spoilt: spearman": "Spearman, a third of them clean, attacked and corrupted",
    "attacked: spearman": "Spearman, attacked",
    "corrupted: spearman": "Spearman, corrupted",
    "attacked: rise": "rise of the estimate by the attack",
    "attacked: raised": "estimate raised by the attack (share)",
}


def table() -> None:
    """All parts as Markdown."""
    text = "# The loss estimator\n\nWritten by `experiments/estimator.py`. Brackets are 95 % intervals.\n"
    for section in (posthoc_section, hardened_section, attacked_section):
        path = OUT / f"{section.__name__.removesuffix('_section')}.json"
        text += section(json.loads(path.read_text())) if path.exists() else ""
    (OUT / "table.md").write_text(text)
    print(text)


def comparison(found: Mapping[str, Any]) -> str:
    """Measures and differences of a part as two tables."""
    return "\n".join(
        markdown([head, *SHOWN.values()], ([name, *(cell(m[k]) for k in SHOWN)] for name, m in entries.items()))
        for head, entries in (("head", found["measures"]), ("difference", found["differences"]))
    )


def posthoc_section(found: Mapping[str, Any]) -> str:
    """(a) in words and tables."""
    facts = markdown(
        ["images of `ham10000`", "n", "error rate", "median true loss"],
        ([k, f["n"], f"{f['error_rate']:.3f}", f"{f['median_loss']:.4f}"] for k, f in found["fitted on"].items()),
    )
    return f"""
## (a) Joint against post hoc, `ham10000`

n = {found["n"]} test images of {found["lesions"]} lesions; whole lesions are drawn. A post hoc head is `fit_estimator` on the frozen
features of the shipped classifier, the mean of seeds {", ".join(map(str, SEEDS))}; "no lesions" and "disturbed" add images made of a
quarter of the set as in joint training (attack at most 4/255). The shipped joint head was trained with "no lesions", so its fair
rivals out of distribution are those. Attacked test images: every third, 10 steps at 4/255 away from the label.
Two limits: the features themselves were shaped by the joint ranking loss, so this compares heads, not trainings (for that see b);
and the training losses below are those of a classifier that has memorised much of its training set.

{facts}
{comparison(found)}"""


def hardened_section(found: Mapping[str, Any]) -> str:
    """(b) in words and tables."""
    same, epochs = found["same backbone"], found["kept epoch"]
    errors = {k: ", ".join(f"{x['error_rate']:.3f}" for x in v) for k, v in found["test"].items()}
    return f"""
## (b) Hardened against plain, `synthetic`

The recipe of `synthetic` on 4,000 images for 10 epochs, {len(same)} seeds; n = {found["n"]} test images (drawn
with replacement; the seeds are not drawn). "disturbed": the estimator also ranks attacked (at most 4/255, 3 steps) and corrupted
images after detaching; "lesions only": it is not even shown images that are no lesions, as the plain one is. Their backbones are the
plain run's to the last bit in {sum(same)} of {len(same)} seeds, so only the heads differ. Hardening starts at epoch 6; the epoch kept, by balanced
accuracy, is {", ".join(str(e["disturbed"]) for e in epochs)}, so where it is 6 the kept head has seen it for 62 steps; "last epoch" is the same run's end.
"Trained alone": ranking weight 0, so no estimator shapes the features. Error rates: plain {errors["plain"]}; alone {errors["alone"]}.

{comparison(found)}"""


def attacked_section(found: Mapping[str, Any]) -> str:
    """(c) in words and tables."""
    judges = [JOINT, TRAINED, VALIDATED, f"{VALIDATED} + no lesions", f"{VALIDATED} + disturbed", SOFTMAX, OTHER]
    entries = {k: v for k, v in found.items() if k != "paired"}
    some = next(iter(entries.values()))
    first = markdown(
        ["condition", "reached the second class", "not found", "mean change", "true loss", "true loss, right before"],
        (
            [
                name, f"{e['reached']} of {e['n']}", e["not found"], f"{e['mean change']:.4f}", cell(e["true loss"], 2),
                f"{cell(e['true loss, right before'], 2)} of {e['right before']}",
            ]
            for name, e in entries.items()
        ),
    )  # fmt: skip
    change, fooled, pairs = (
        markdown([head, *judges], ([name, *(text(e, e[j]) for j in judges)] for name, e in part.items()))
        for head, part, text in (
            (
                "change of the estimate",
                entries,
                lambda e, j: f"{cell(j['change'], 2)}, {j['lowered']} of {e['n']} fell",
            ),
            ("fell although the true loss rose", entries, lambda e, j: f"{j['fooled']} of {e['right and reached']}"),
            ("difference of the estimates afterwards", found["paired"], lambda _, j: cell(j, 2)),
        )
    )
    missing = "" if NATURAL.name in entries else "`natural` is left out: its rows are not there yet."
    return f"""
## (c) What attacks and edits do to the estimate, `ham10000`

The first {some["n"]} test lesions of `isic_comparison.manifest()`, {some["right before"]} of them rightly classified; each goes towards its
second most likely class; images are judged in eight bits. Estimates are standardised on validation images; lesions are drawn for the
intervals. Attacks: 20 signed steps within 4/255 that raise the probability of the second class; "on joint too" and "on disturbed too" also
lower that head's estimate. The joint estimate is optimised by `regularised-dip`, `natural` and the second attack, "{VALIDATED} + disturbed"
by the third attack, the other heads never, but all read the same features; the `witness` network shares no weights. True losses are
with respect to the dermatologist's label, which a tiny attack leaves true, while an edit may rightly end it. Max-softmax is minus the
largest probability, standardised too. Rows of `dip`, `regularised-dip` and `natural` are those of the comparison where it has them.
{missing}
{first}
{change}
The same lesion after two edits; what the joint estimate alone gained by being optimised would show in its column alone:

{pairs}
Rightly classified lesions that reach the second class, and whose estimate fell although the loss of the label rose:

{fooled}"""
