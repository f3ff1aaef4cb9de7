"""What independent classifiers make of the counterfactuals that `isic_comparison.py` has found.

    python experiments/isic_judge.py table              minutes; writes results/isic_comparison*
    python experiments/isic_judge.py table --methods ablations       results/isic_ablations*
    python experiments/isic_judge.py table --more "dip;tv"           what is at hand of these, among the rows that are kept
    python experiments/isic_judge.py table --edition robust          results/isic_robust*
    python experiments/isic_judge.py again              a second run of the default, for what one run leaves to chance: results/isic_again*
    python experiments/isic_judge.py curve              flips against distance, along each change
    python experiments/isic_judge.py equal              the default's change shrunk, lesion by lesion, to what `dip` reaches: results/isic_equal.json
    python experiments/isic_judge.py seeds              agreement of three seeds, and their noise floor
    python experiments/isic_judge.py sheet              the first 12 lesions of the list as pictures

Each oracle's flips are counted over the lesions of which it sees the source class itself; both counts are kept.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from isic_comparison import DATA, METHODS, RESULTS, explained, manifest, picture_and_mask, place, read, targets
from oracles import load_oracle

import cfexplain
from cfexplain.classifier.checks import predict
from cfexplain.explanation import plot
from cfexplain.explanation.folder import load as load_explanation
from cfexplain.explanation.metrics.oracle import ask_oracle
from cfexplain.explanation.metrics.perceptual import load_lpips
from cfexplain.explanation.metrics.robustness import robustness
from cfexplain.explanation.metrics.seeds import noise_floor, seed_agreement
from cfexplain.images import resize, round8, to_uint8
from cfexplain.search.edit import Edit
from cfexplain_classifiers import load

NAMES = {"mel": "melanoma", "nv": "nevus", "bkl": "seborrheic_keratosis"}
FINE = 40
"""Shares of a change between which `equal` looks."""

SHARES = (0.25, 0.5, 0.625, 0.75, 0.875, 1.0)


@cache
def oracles() -> dict[str, tuple[Any, dict[str, str]]]:
    """Independent classifiers, and what they call our classes."""
    return {
        "witness (tuning)": (load("witness"), {}),
        "isic2017": (load_oracle("isic2017"), NAMES),
        "grey": (load_oracle("grey"), {}),
    }


def measured(method: str, seed: int, judges: Judges, edition: str) -> pd.DataFrame:
    """One line a row of a method: its metrics, its survival, and what the oracles say."""
    rows = read(method, seed, edition)
    if not rows:
        return pd.DataFrame()
    label = judges.labels
    frames = []
    for image, found in rows:
        frame = cfexplain.evaluate(found)
        question = targets(judges.classifier, found.query)
        source, target = found.classes[int(found.source)], found.classes[int(found.target)]
        frame = frame.assign(
            image=image, method=method, seed=seed, label=label[image], source=source, target=target,
            second=question["second"] == target, melanoma=question["melanoma"] == target, status=found.status[0].value,
            area=float(found.mask.mean()), alpha=found.alpha[0], steps=found.steps[0], seconds=found.seconds[0],
            p_target=float(found.after.probabilities[0, int(found.target)]),
            lpips=float(judges.lpips(*enlarged(found.image, found.query))),
            lpips_anchor=float(judges.lpips(*enlarged(found.painted, found.anchor))),
            **{f"survives {k}": float(v) for k, v in robustness(found, judges.classifier).items()},
        )  # fmt: skip
        for name, (oracle, classes) in judges.oracles.items():
            belief = ask_oracle(found, oracle, classes=[classes.get(c, c) for c in found.classes])
            frame = frame.assign(
                **{
                    f"{name}: counted": bool(belief.counted),
                    f"{name}: flip": float(belief.flipped),
                    f"{name}: gain": float(belief.gain),
                }
            )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def enlarged(*images: torch.Tensor) -> list[torch.Tensor]:
    """Pictures of 64 pixels at the 128 of the others, so that distances compare."""
    return [resize(i, 128) for i in images]


@dataclass(frozen=True)
class Judges:
    """All that looks at the rows."""

    classifier: Any
    oracles: dict[str, tuple[Any, dict[str, str]]]
    lpips: Any
    labels: dict[str, str]


def wilson(flips: pd.Series) -> dict[str, float]:
    """A share with its 95 % Wilson interval."""
    n, z = len(flips), 1.96
    if n == 0:
        return {"n": 0, "flip": math.nan, "low": math.nan, "high": math.nan}
    p = float(flips.mean())
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return {"n": n, "flip": p, "low": (middle - half) / (1 + z * z / n), "high": (middle + half) / (1 + z * z / n)}


def interval(rows: pd.DataFrame, column: str, draws: int = 2000) -> dict[str, float]:
    """A mean with its 95 % percentile bootstrap over lesions (a row a lesion)."""
    values = rows[column].dropna().to_numpy(dtype=float)
    if len(values) == 0:
        return {"mean": math.nan, "low": math.nan, "high": math.nan}
    means = values[np.random.default_rng(0).integers(len(values), size=(draws, len(values)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def summary(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """A method's entry: on the second most likely class, on nevus to melanoma, and on melanoma; failures count.

    Of melanomas, "melanoma" is nevus: the second target of every lesion.
    """
    second = rows[rows["second"]]
    hard = rows[(rows["source"] == "nv") & (rows["target"] == "mel")]
    melanoma = rows[rows["melanoma"]]
    flips, hards, melanomas = (
        {n: wilson(asked.loc[asked[f"{n}: counted"], f"{n}: flip"]) for n in names} for asked in (second, hard, melanoma)
    )
    reporting = [n for n in names if "tuning" not in n]
    means = {
        "inside_lesion": "inside_lesion", "area": "area", "lpips": "lpips", "l1_anchor": "mean_change", "alpha": "alpha",
        "high_frequency_share": "high_frequency_share", "changed_share": "changed_share", "survives": "survives together",
        "target_gain": "target_gain", "anchor_psnr": "anchor_psnr", "seconds": "seconds",
    }  # fmt: skip
    spread = {k: interval(second, column) for k, column in means.items()}
    return {
        "method": str(rows["method"].iloc[0]),
        "n": len(second),
        "found": float((second["status"] == "found").mean()),
        "oracles": flips,
        "hard_n": len(hard),
        "hard_flip": float(np.mean([hards[n]["flip"] for n in reporting])),
        "hard_oracles": hards,
        "melanoma_n": len(melanoma),
        "melanoma_found": float((melanoma["status"] == "found").mean()),
        "melanoma_oracles": melanomas,
        **{k: v["mean"] for k, v in spread.items()},
        "intervals": spread,
    }


def table(entries: list[dict[str, Any]]) -> str:
    """The entries as Markdown."""
    names = list(entries[0]["oracles"])
    lines = [
        "| method | n | found | "
        + " | ".join(f"flips {n}" for n in names)
        + " | nevus to melanoma: "
        + " | ".join(names)
        + " | survives | inside (area) | LPIPS | L1 to the anchor | seconds |",
    ]
    lines.append("|" + "---|" * (8 + 2 * len(names)))
    for e in entries:
        cells = [
            f"{f['flip']:.2f} [{f['low']:.2f}, {f['high']:.2f}] of {f['n']}"
            for f in (*e["oracles"].values(), *e["hard_oracles"].values())
        ]
        lines.append(
            f"| {e['method']} | {e['n']} | {e['found']:.2f} | " + " | ".join(cells) + f" | {e['survives']:.2f} | "
            f"{e['inside_lesion']:.2f} ({e['area']:.2f}) | {e['lpips']:.3f} | {e['l1_anchor']:.4f} | {e['seconds']:.1f} |"
        )  # fmt: skip
    return "\n".join(lines) + "\n"


def judges_of(edition: str) -> Judges:
    """All of them, for the classifier of an edition."""
    classifier = explained(edition)
    labels = {lesion.id: classifier.classes[lesion.label or 0] for lesion in manifest()}
    return Judges(classifier, oracles(), load_lpips(DATA / "weights"), labels)


def run_again() -> None:
    """Measure the default's rows that are at hand as a run of their own, beside the one that is published."""
    rows = measured("natural", 0, judges_of(""), "").assign(method="natural, again")
    rows.to_csv(RESULTS / "isic_again_rows.csv", index=False, float_format="%.5g")
    entry = summary(rows, list(oracles()))
    (RESULTS / "isic_again.json").write_text(json.dumps([entry], indent=1) + "\n")
    print(table([entry]))


def judge(name: str, methods: Sequence[str], edition: str, again: Sequence[str], more: Sequence[str]) -> None:
    """Write rows, entries and table of what has been searched so far; only these methods are measured again.

    Of `more`, what is at hand is measured and takes the place of kept rows that answer the same question.
    """
    judges, path = judges_of(edition), RESULTS / f"{name}_rows.csv"
    kept = pd.read_csv(path) if (again or more) and path.exists() else pd.DataFrame({"method": []})
    kept = kept[~kept["method"].isin(again)]
    every = []
    for method in methods:
        before = kept[kept["method"] == method]
        new = measured(method, 0, judges, edition) if before.empty or method in more else pd.DataFrame()
        every.append(pd.concat([before, new]).drop_duplicates(["image", "target"], keep="last") if len(new) else before)
    frames = [frame for frame in every if len(frame)]
    rows = pd.concat(frames, ignore_index=True)
    rows.to_csv(path, index=False, float_format="%.5g")
    entries = [summary(f, list(judges.oracles)) for f in frames]
    (RESULTS / f"{name}.json").write_text(json.dumps(entries, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(table(entries))
    print(table(entries))


def curve(methods: Sequence[str], again: Sequence[str]) -> None:
    """Flips of each oracle, and distances, as the change of each lesion (second most likely class) is shrunk."""
    classifier, lpips, rows = explained(""), load_lpips(DATA / "weights"), []
    path = RESULTS / "isic_curve_rows.csv"
    kept = pd.read_csv(path) if again and path.exists() else pd.DataFrame({"method": []})
    for method in methods:
        if method not in again and method in set(kept["method"]):
            rows += kept[kept["method"] == method].to_dict("records")
            continue
        for image, found in read(method, 0):
            if targets(classifier, found.query)["second"] != found.classes[int(found.target)]:
                continue
            for share in SHARES:
                rows.append({"method": method, "image": image, "share": share} | at_share(found, share, lpips))
    frame = pd.DataFrame(rows)
    frame.to_csv(path, index=False, float_format="%.4g")
    columns = [c for c in frame.columns if c not in ("method", "image", "share")]
    means = frame.groupby(["method", "share"], sort=False)[columns].mean().reset_index()
    means.to_csv(RESULTS / "isic_curve.csv", index=False, float_format="%.4g")
    draw_curve(means)
    equal_flip(means)


def at_share(found: Edit, share: float, lpips: Any) -> dict[str, float]:
    """Distances and flips of the query plus a share of the change; NaN where an oracle does not count the query."""
    image = round8(found.query + share * found.difference)
    part = SimpleNamespace(query=found.query, image=image, before=found.before, target=found.target)
    row = {"lpips": float(lpips(image, found.query)), "l1": float((image - found.query).abs().mean())}
    for name, (oracle, classes) in oracles().items():
        belief = ask_oracle(part, oracle, classes=[classes.get(c, c) for c in found.classes])  # type: ignore[arg-type]
        row[name] = float(belief.flipped) if belief.counted else math.nan
    return row


def equal() -> None:
    """The default's changes, each shrunk until it just flips the explained classifier, or has the probability that `dip` has there.

    Of all lesions asked for the second most likely class; where a change does not reach it, the whole one counts.
    """
    classifier, lpips, rows = explained(""), load_lpips(DATA / "weights"), []
    kept = pd.read_csv(RESULTS / "isic_comparison_rows.csv")
    foil = kept[(kept["method"] == "dip") & kept["second"]].set_index("image")
    for image, found in read("natural", 0):
        if targets(classifier, found.query)["second"] != found.classes[int(found.target)]:
            continue
        target, steps = int(found.target), torch.linspace(0, 1, FINE + 1)[1:]
        seen = predict(classifier, round8(found.query + steps.view(-1, 1, 1, 1) * found.difference))
        chance, flipped = seen.probabilities[:, target], seen.logits.argmax(1) == target
        dips = {"l1": "mean_change", "lpips": "lpips"} | {name: f"{name}: flip" for name in oracles()}
        for until, reached in (("it flips", flipped), ("it is as sure", flipped & (chance >= foil.at[image, "p_target"]))):
            share = float(steps[reached.nonzero()[0, 0]]) if bool(reached.any()) else 1.0
            row = {"until": until, "image": image, "share": share, "reached": float(reached.any())}
            row |= at_share(found, share, lpips)
            rows.append(row | {f"dip {k}": float(foil.at[image, v]) for k, v in dips.items()})
    frame, told = pd.DataFrame(rows), {}
    for until, own in frame.groupby("until", sort=False):
        told[until] = {"n": len(own), "share": interval(own, "share"), "reached": float(own["reached"].mean())}
        for name in ("l1", "lpips", *oracles()):
            pair = own.dropna(subset=[name])
            told[until][name] = {
                "natural": float(pair[name].mean()), "dip": float(pair[f"dip {name}"].mean()), "lesions": len(pair),
                "difference": interval(pair.assign(step=pair[name] - pair[f"dip {name}"]), "step"),
            }  # fmt: skip
    (RESULTS / "isic_equal.json").write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


def draw_curve(means: pd.DataFrame) -> None:
    """Flips of the reporting oracles against LPIPS and against mean change."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, x, label in zip(axes, ("lpips", "l1"), ("LPIPS to the query", "mean change (intensity)"), strict=True):
        for k, (method, rows) in enumerate(means.groupby("method", sort=False)):
            for oracle, style in (("isic2017", "-"), ("grey", "--")):
                axis.plot(rows[x], rows[oracle], style, color=f"C{k}", marker=".", label=f"{method}, {oracle}")
        axis.set(xlabel=label, ylim=(0, 1))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("flips of the oracle")
    axes[1].legend(fontsize=7, frameon=False, ncols=2)
    figure.savefig(RESULTS / "isic_curve.png", dpi=110, bbox_inches="tight")


def equal_flip(means: pd.DataFrame) -> None:
    """Distance at which the default flips an oracle as often as plain DIP's whole change does."""
    natural, dip = (means[means["method"] == m] for m in ("natural", "dip"))
    found = {}
    for oracle in ("isic2017", "grey"):
        flip = float(dip[oracle].iloc[-1])
        found[oracle] = {"flip": flip} | {
            f"{x} {name}": value
            for x in ("l1", "lpips")
            for name, value in (
                ("dip", float(dip[x].iloc[-1])),
                ("natural", float(np.interp(flip, [0, *natural[oracle]], [0, *natural[x]]))),
            )
        }
    (RESULTS / "isic_equal_flip.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def seeds(methods: Sequence[str]) -> None:
    """Overlap of the strongest changed tenth over three seeds, and what the change is over the anchors' noise floor.

    Entries of methods whose runs are not at hand are kept.
    """
    path, entries = RESULTS / "isic_seeds.json", []
    before = {e["method"]: e for e in json.loads(path.read_text())} if path.exists() else {}
    for method in methods:
        runs = [dict(keyed(method, seed)) for seed in range(3)]
        shared = sorted(set(runs[0]) & set(runs[1]) & set(runs[2]))
        if not shared:
            entries += [before[method]] if method in before else []
            continue
        rows = []
        for key in shared:
            edits = [run[key] for run in runs]
            floor = noise_floor([e.anchor for e in edits])
            size = edits[0].difference.abs().mean(1, keepdim=True)
            rows.append(
                {"agreement": float(seed_agreement(edits)), "floor": float(floor.mean()), "change": float(size.mean()),
                 "above": float(size[size > floor].sum() / size.sum()), "found": float(np.mean([e.found[0] for e in edits]))}
            )  # fmt: skip
        frame = pd.DataFrame(rows)
        entries.append({"method": method, "n": len(frame), **{c: interval(frame, c) for c in frame}})
    path.write_text(json.dumps(entries, indent=1) + "\n")
    print(json.dumps(entries, indent=1))


def keyed(method: str, seed: int) -> list[tuple[tuple[str, str], Edit]]:
    """The rows of a method by image and target."""
    return [((image, f.classes[int(f.target)]), f) for image, f in read(method, seed)]


def sheet(count: int, seed: int) -> None:
    """The first lesions of the list, asked for the second most likely class: each method's image and change."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classifier, lesions = load("ham10000"), manifest()[:count]
    shown = ("natural", "natural-warm", "dip", "tv")
    figure = Figure(figsize=(count * 1.1, 10))
    FigureCanvasAgg(figure)
    axes = figure.subplots(9, count, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for column, lesion in enumerate(lesions):
        query, _ = picture_and_mask(lesion, classifier.image_size)
        target = targets(classifier, query)["second"]
        axes[0, column].imshow(to_uint8(query[0]))
        for k, method in enumerate(shown):
            folder = place(method, lesion.id, target, seed)
            if (folder / "row.json").exists():
                found = load_explanation(folder).edit
                axes[1 + 2 * k, column].imshow(to_uint8(found.image[0]))
                axes[2 + 2 * k, column].imshow(
                    plot.change_values(found.difference[0]), cmap="PuOr_r", vmin=-0.2, vmax=0.2
                )
                axes[0, column].set_title(f"{found.classes[int(found.source)]} → {target}", fontsize=8)
                axes[1 + 2 * k, 0].set_ylabel(method.replace("-", "-\n"), fontsize=8)
    axes[0, 0].set_ylabel("query", fontsize=8)
    for k in range(len(shown)):
        axes[2 + 2 * k, 0].set_ylabel("change\n±0.2", fontsize=8)
    figure.savefig(RESULTS / "isic_comparison.png", dpi=80, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["table", "again", "equal", "curve", "seeds", "sheet"])
    parser.add_argument("--methods", choices=METHODS, default="main")
    parser.add_argument("--edition", choices=["", "64", "robust"], default="")
    parser.add_argument("--first", type=int, default=12, help="lesions on the sheet")
    parser.add_argument("--again", default="", help="measure only these methods again, separated by semicolons")
    parser.add_argument("--more", default="", help="put what is at hand of these methods among the rows that are kept")
    args = parser.parse_args()
    names = [m.name for m in METHODS[args.methods]]
    again, more = (list(filter(None, given.split(";"))) for given in (args.again, args.more))
    if unknown := {*again, *more} - set(names):
        parser.error(f"there is no method {', '.join(unknown)} among {', '.join(names)}")
    if args.verb == "sheet":
        sheet(args.first, 0)
    elif args.verb == "again":
        run_again()
    elif args.verb == "equal":
        equal()
    elif args.verb == "curve":
        curve(("natural", "natural-warm", "dip", "tv"), again)
    elif args.verb == "seeds":
        seeds([m.name for m in METHODS["seeds"]])
    else:
        name = f"isic_{args.edition or {'main': 'comparison'}.get(args.methods, args.methods)}"
        judge(name, names, args.edition, again, more)


if __name__ == "__main__":
    main()
