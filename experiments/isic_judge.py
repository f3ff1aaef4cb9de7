"""What independent classifiers predict for the counterfactuals that `isic_comparison.py` has found.

    python experiments/isic_judge.py table              minutes; writes results/isic_comparison*
    python experiments/isic_judge.py table --methods ablations       results/isic_ablations*
    python experiments/isic_judge.py table --edition robust          results/isic_robust*
    python experiments/isic_judge.py again              a second run of the default: results/isic_again*
    python experiments/isic_judge.py curve              flips against distance, along each change
    python experiments/isic_judge.py equal              the default's change shrunk to what `dip` reaches: results/isic_equal.json
    python experiments/isic_judge.py seeds              agreement of two or three seeds, and their noise floor
    python experiments/isic_judge.py sheet              the first 12 lesions of the list as images

Rows of which no counterfactuals are at hand are kept as they were measured. Each oracle's flips are counted over the
lesions for which it predicts the source class itself; both counts are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from isic_comparison import METHODS, explained, kept, place, read, read_second
from shared import (
    RESULTS,
    ask_oracles,
    cell,
    command,
    image_and_mask,
    interval,
    lpips,
    manifest,
    markdown,
    oracles,
    read_rows,
    sheet,
    subplots,
    targets,
    wilson,
    write_json,
)

import cfexplain
from cfexplain.classifier.checks import predict
from cfexplain.explanation.metrics.robustness import robustness
from cfexplain.explanation.metrics.seeds import noise_floor, seed_agreement
from cfexplain.explanation.plot import change_values
from cfexplain.images import resize, round8
from cfexplain.search.edit import Edit

FINE = 40
"""Shares of a change between which `equal` looks."""

SHARES = (0.25, 0.5, 0.625, 0.75, 0.875, 1.0)
SHOWN = ("natural", "fast", "dip", "tv")
FORMER = {"main": ["natural 0.1", "natural-warm"], "seeds": ["natural 0.1", "natural-warm"]}
"""Methods of version 0.1, whose rows are kept as they were measured."""
MEANS = {
    "inside_lesion": "inside_lesion", "area": "area", "lpips": "lpips", "l1_anchor": "mean_change", "alpha": "alpha",
    "high_frequency_share": "high_frequency_share", "changed_share": "changed_share", "survives": "survives together",
    "target_gain": "target_gain", "anchor_psnr": "anchor_psnr", "seconds": "seconds",
}  # fmt: skip


def measured(method: str, edition: str) -> pd.DataFrame:
    """One line a row of a method: its metrics, its robustness, and what the oracles predict.

    LPIPS is measured at 128 pixels, so that the distances of editions compare.
    """
    classifier, frames = explained(edition), []
    label = {lesion.id: classifier.classes[lesion.label or 0] for lesion in manifest()}
    for image, found in read(method, 0, edition):
        options = targets(classifier, found.query)
        source, target = found.classes[int(found.source)], found.classes[int(found.target)]
        shown, query, painted, anchor = (
            resize(x, 128) for x in (found.image, found.query, found.painted, found.anchor)
        )
        columns = dict(
            image=image, method=method, seed=0, label=label[image], source=source, target=target,
            second=options["second"] == target, melanoma=options["melanoma"] == target, status=found.status[0].value,
            area=float(found.mask.mean()), alpha=found.alpha[0], steps=found.steps[0], seconds=found.seconds[0],
            p_target=float(found.after.probabilities[0, int(found.target)]),
            lpips=float(lpips()(shown, query)), lpips_anchor=float(lpips()(painted, anchor)),
        )  # fmt: skip
        columns |= {f"survives {k}": float(v) for k, v in robustness(found, classifier).items()}
        for name, answer in ask_oracles(found, found.classes).items():
            columns |= {f"{name}: counted": bool(answer.counted), f"{name}: flip": float(answer.flipped)}
            columns[f"{name}: gain"] = float(answer.gain)
        frames.append(cfexplain.evaluate(found).assign(**columns))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def summary(rows: pd.DataFrame) -> dict[str, Any]:
    """A method's entry: on the second most likely class, on nevus to melanoma, and on melanoma; failures count.

    Of melanomas, "melanoma" is nevus: the second target of every lesion.
    """
    second, melanoma = rows[rows["second"]], rows[rows["melanoma"]]
    hard = rows[(rows["source"] == "nv") & (rows["target"] == "mel")]
    flips, hards, melanomas = (
        {n: wilson(part.loc[part[f"{n}: counted"], f"{n}: flip"]) for n in oracles()}
        for part in (second, hard, melanoma)
    )
    means = {k: interval(second[column]) for k, column in MEANS.items()}
    return {
        "method": str(rows["method"].iloc[0]),
        "n": len(second),
        "found": float((second["status"] == "found").mean()),
        "oracles": flips,
        "hard_n": len(hard),
        "hard_flip": float(np.mean([hards[n]["flip"] for n in oracles() if "tuning" not in n])),
        "hard_oracles": hards,
        "melanoma_n": len(melanoma),
        "melanoma_found": float((melanoma["status"] == "found").mean()),
        "melanoma_oracles": melanomas,
        **{k: v["mean"] for k, v in means.items()},
        "intervals": means,
    }


def table(entries: list[dict[str, Any]]) -> str:
    names = list(entries[0]["oracles"])
    flips = [f"flips {n}" for n in names] + [f"nevus to melanoma: {names[0]}", *names[1:]]
    return markdown(
        ["method", "n", "found", *flips, "survives", "inside (area)", "LPIPS", "L1 to the anchor", "seconds"],
        (
            [
                e["method"], e["n"], f"{e['found']:.2f}",
                *(f"{cell(f, 2)} of {f['n']}" for f in (*e["oracles"].values(), *e["hard_oracles"].values())),
                f"{e['survives']:.2f}", f"{e['inside_lesion']:.2f} ({e['area']:.2f})", f"{e['lpips']:.3f}",
                f"{e['l1_anchor']:.4f}", f"{e['seconds']:.1f}",
            ]
            for e in entries
        ),
    )  # fmt: skip


def run_again() -> None:
    """Measure the default's rows that are at hand as a run of their own, beside the one that is published."""
    rows = measured("natural", "").assign(method="natural, again")
    rows.to_csv(RESULTS / "isic_again_rows.csv", index=False, float_format="%.5g")
    write_json(RESULTS / "isic_again.json", [summary(rows)])
    print(table([summary(rows)]))


def judge(name: str, methods: Sequence[str], edition: str) -> None:
    """Write rows, entries and table; rows that are at hand take the place of kept ones with the same image and target."""
    path, frames = RESULTS / f"{name}_rows.csv", []
    before = read_rows(path)
    for method in methods:
        rows = pd.concat([before[before["method"] == method], measured(method, edition)], ignore_index=True)
        if len(rows):
            frames.append(rows.drop_duplicates(["image", "target"], keep="last"))
    pd.concat(frames, ignore_index=True).to_csv(path, index=False, float_format="%.5g")
    entries = [summary(frame) for frame in frames]
    write_json(RESULTS / f"{name}.json", entries)
    (RESULTS / f"{name}.md").write_text(table(entries))
    print(table(entries))


def at_share(found: Edit, share: float) -> dict[str, float]:
    """Distances and flips of the query plus a share of the change; NaN where an oracle does not count the query."""
    image = round8(found.query + share * found.difference)
    part = SimpleNamespace(query=found.query, image=image, before=found.before, target=found.target)
    row = {"lpips": float(lpips()(image, found.query)), "l1": float((image - found.query).abs().mean())}
    answers = ask_oracles(part, found.classes)
    return row | {name: float(a.flipped) if a.counted else math.nan for name, a in answers.items()}


def curve() -> None:
    """Flips of each oracle, and distances, as the change of each lesion (second most likely class) is shrunk."""
    path, frames = RESULTS / "isic_curve_rows.csv", []
    before = read_rows(path)
    for method in (*SHOWN, *FORMER["main"]):
        rows = pd.DataFrame(
            {"method": method, "image": image, "share": share} | at_share(found, share)
            for image, found in read_second(method, explained(""))
            for share in SHARES
        )
        frames.append(rows if len(rows) else before[before["method"] == method])
    frame = pd.concat(frames, ignore_index=True)
    frame.to_csv(path, index=False, float_format="%.4g")
    means = frame.drop(columns="image").groupby(["method", "share"], sort=False).mean().reset_index()
    means.to_csv(RESULTS / "isic_curve.csv", index=False, float_format="%.4g")
    draw_curve(means)
    equal_flip(means)


def draw_curve(means: pd.DataFrame) -> None:
    """Flips of the reporting oracles against LPIPS and against mean change."""
    figure, ((left, right),) = subplots(1, 2, 9, 3.6, sharey=True)
    for axis, x, label in ((left, "lpips", "LPIPS to the query"), (right, "l1", "mean change (intensity)")):
        for k, (method, rows) in enumerate(means.groupby("method", sort=False)):
            for oracle, style in (("isic2017", "-"), ("grey", "--")):
                axis.plot(rows[x], rows[oracle], style, color=f"C{k}", marker=".", label=f"{method}, {oracle}")
        axis.set(xlabel=label, ylim=(0, 1))
        axis.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("flips of the oracle")
    right.legend(fontsize=7, frameon=False, ncols=2)
    figure.savefig(RESULTS / "isic_curve.png", dpi=110, bbox_inches="tight")


def equal_flip(means: pd.DataFrame) -> None:
    """Distance at which the default flips an oracle as often as plain DIP's whole change does."""
    natural, dip = (means[means["method"] == m] for m in ("natural", "dip"))
    found: dict[str, dict[str, float]] = {}
    for oracle in ("isic2017", "grey"):
        flip = float(dip[oracle].iloc[-1])
        found[oracle] = {"flip": flip}
        for x in ("l1", "lpips"):
            found[oracle][f"{x} dip"] = float(dip[x].iloc[-1])
            found[oracle][f"{x} natural"] = float(np.interp(flip, [0, *natural[oracle]], [0, *natural[x]]))
    write_json(RESULTS / "isic_equal_flip.json", found)
    print(json.dumps(found, indent=1))


def equal() -> None:
    """The default's changes, each shrunk until it just flips the classifier, or has the probability that `dip` has there.

    Of all lesions with the second most likely class as target; where a change does not reach it, the whole one counts.
    """
    rows, kept_rows = [], pd.read_csv(RESULTS / "isic_comparison_rows.csv")
    foil = kept_rows[(kept_rows["method"] == "dip") & kept_rows["second"]].set_index("image")
    columns = {"l1": "mean_change", "lpips": "lpips"} | {name: f"{name}: flip" for name in oracles()}
    classifier, steps = explained(""), torch.linspace(0, 1, FINE + 1)[1:]
    for image, found in read_second("natural", classifier):
        target, dip = int(found.target), foil.loc[image]
        seen = predict(classifier, round8(found.query + steps.view(-1, 1, 1, 1) * found.difference))
        flipped = seen.logits.argmax(1) == target
        sure = flipped & (seen.probabilities[:, target] >= dip["p_target"])
        for until, reached in (("it flips", flipped), ("it is as sure", sure)):
            share = float(steps[reached.nonzero()[0, 0]]) if bool(reached.any()) else 1.0
            row = {"until": until, "image": image, "share": share, "reached": float(reached.any())}
            rows.append(row | at_share(found, share) | {f"dip {k}": float(dip[v]) for k, v in columns.items()})
    entries: dict[str, Any] = {}
    for until, part in pd.DataFrame(rows).groupby("until", sort=False):
        entry = {"n": len(part), "share": interval(part["share"]), "reached": float(part["reached"].mean())}
        for name in columns:
            pair = part.dropna(subset=[name])
            entry[name] = {
                "natural": float(pair[name].mean()), "dip": float(pair[f"dip {name}"].mean()), "lesions": len(pair),
                "difference": interval(pair[name] - pair[f"dip {name}"]),
            }  # fmt: skip
        entries[str(until)] = entry
    write_json(RESULTS / "isic_equal.json", entries)
    print(json.dumps(entries, indent=1))


def seeds() -> None:
    """Overlap of the strongest changed tenth over two or three seeds, and the share of the change above the anchors' noise floor.

    Entries of methods whose runs are not at hand are kept.
    """
    path, entries = RESULTS / "isic_seeds.json", []
    before = {e["method"]: e for e in json.loads(path.read_text())} if path.exists() else {}
    for method in [m.name for m in METHODS["seeds"]] + FORMER["seeds"]:
        runs = [{(i, int(f.target)): f for i, f in read(method, seed)} for seed in range(3)]
        runs, rows = [run for run in runs if run], []
        for key in sorted(set.intersection(*map(set, runs))) if len(runs) > 1 else ():
            edits = [run[key] for run in runs]
            floor, size = noise_floor([e.anchor for e in edits]), edits[0].difference.abs().mean(1, keepdim=True)
            rows.append(
                {"agreement": float(seed_agreement(edits)), "floor": float(floor.mean()), "change": float(size.mean()),
                 "above": float(size[size > floor].sum() / size.sum()), "found": float(np.mean([e.found[0] for e in edits]))}
            )  # fmt: skip
        frame = pd.DataFrame(rows)
        if rows:
            entries.append({"method": method, "n": len(frame), "seeds": len(runs), **{c: interval(frame[c]) for c in frame}})
        elif method in before:
            entries.append(before[method])
    write_json(path, entries)
    print(json.dumps(entries, indent=1))


def draw_sheet(count: int) -> None:
    """The first lesions of the list, to the second most likely class: each method's image and change."""
    classifier, columns, titles = explained(""), [], []
    for lesion in manifest()[:count]:
        query, _ = image_and_mask(lesion, classifier.image_size)
        target, column, title = targets(classifier, query)["second"], [query[0]], ""
        for method in SHOWN:
            found = kept(place(method, lesion.id, target, 0))
            column += [None, None] if found is None else [found.image[0], change_values(found.difference[0])]
            title = title if found is None else f"{found.classes[int(found.source)]} → {target}"
        columns.append(column)
        titles.append(title)
    labels = ["query", *(label for m in SHOWN for label in (m.replace("-", "-\n"), "change\n±0.2"))]
    sheet(list(zip(*columns, strict=True)), RESULTS / "isic_comparison.png", titles=titles, labels=labels)


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("verb", choices=["table", "again", "equal", "curve", "seeds", "sheet"])
    parser.add_argument("--methods", choices=METHODS, default="main")
    parser.add_argument("--edition", choices=["", "64", "robust"], default="")
    parser.add_argument("--first", type=int, default=12, help="lesions on the sheet")
    args = parser.parse_args()
    if args.verb == "table":
        name = f"isic_{args.edition or {'main': 'comparison'}.get(args.methods, args.methods)}"
        judge(name, [m.name for m in METHODS[args.methods]] + FORMER.get(args.methods, []), args.edition)
    else:
        verbs = {
            "again": run_again,
            "equal": equal,
            "curve": curve,
            "seeds": seeds,
            "sheet": lambda: draw_sheet(args.first),
        }
        verbs[args.verb]()


if __name__ == "__main__":
    main()
