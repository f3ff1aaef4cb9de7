"""Counterfactuals of HAM10000 test lesions by each method, and what independent classifiers make of them.

    python experiments/isic_comparison.py search --shard 0/2      hours on 2 cores; each row is kept as soon as it is done
    python experiments/isic_comparison.py judge                   minutes; writes results/isic_comparison*
    python experiments/isic_comparison.py sheet                   the first 12 lesions of the list as pictures

The list is fixed before anything is computed: of the test split, one image a lesion (the smallest sha256 of the
image ids), all melanomas, and of the other classes those with the smallest digests. Each is asked for the second
most likely class, and for melanoma (nevus, where the classifier sees a melanoma). Failures count. Methods are
chosen on validation lesions with `witness` at hand; the other oracles are only read here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from oracles import RUNS, grey_oracle

import cfexplain
from cfexplain import methods, plot
from cfexplain.images import Square, resize, square, to_uint8
from cfexplain.metrics.oracle import believed
from cfexplain.metrics.perceptual import load_lpips
from cfexplain.metrics.survival import survives
from cfexplain.result import Counterfactual
from cfexplain.terms import EstimatedLoss, SameColour, SparseChange
from cfexplain_classifiers import folded, load
from cfexplain_datasets import open_dataset
from cfexplain_datasets.lesion import Lesion

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CFEXPLAIN_DATA", ROOT.parent / "shared" / "data"))
RUN = ROOT / "runs" / "isic_comparison"
RESULTS = ROOT / "experiments" / "results"
COUNTS = {"mel": 81, "nv": 90, "bkl": 12, "bcc": 12, "akiec": 12, "df": 6, "vasc": 6}

_EDIT = methods.NATURAL.edit
MAIN = (methods.NATURAL, methods.REGULARISED_DIP, methods.DIP, methods.TV)
ABLATIONS = (
    replace(methods.NATURAL, name="natural, no views", edit=replace(_EDIT, views=None)),
    replace(methods.NATURAL, name="natural, no estimator", edit=replace(_EDIT, objective=_EDIT.objective.without(EstimatedLoss))),
    replace(methods.NATURAL, name="natural, free colour", edit=replace(_EDIT, objective=_EDIT.objective.without(SameColour))),
    replace(methods.NATURAL, name="natural, not sparse", edit=replace(_EDIT, objective=_EDIT.objective.without(SparseChange))),
    replace(methods.NATURAL, name="natural, not shrunken", shrink=None),
    replace(methods.TV, name="pixels + views", edit=replace(methods.TV.edit, views=_EDIT.views, objective=_EDIT.objective, learning_rate=1e-2)),
    methods.PIXELS,
    methods.DISC,
)  # fmt: skip


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


def search(chosen: tuple[cfexplain.Method, ...], shard: int, shards: int, first: int, seed: int) -> None:
    """Explain every row that is not there yet."""
    classifier, lesions = folded(load("ham10000")), manifest()[:first]
    for lesion in lesions[shard::shards]:
        query, mask = picture_and_mask(lesion, classifier.image_size)
        for target in dict.fromkeys(targets(classifier, query).values()):
            for method in chosen:
                folder = place(method.name, lesion.id, target, seed)
                if not (folder / "row.json").exists():
                    found = cfexplain.explain(
                        classifier, query, target, method=method, mask=mask, seed=seed, anchors=RUN / "anchors"
                    )
                    keep(found, folder)
                    print(lesion.id, lesion.label, found, f"{found.seconds[0]:.1f} s", flush=True)


def place(method: str, image: str, target: str, seed: int) -> Path:
    """The folder of a row."""
    return RUN / "rows" / f"{method}-{seed}".replace(" ", "_").replace(",", "") / f"{image}-{target}"


def keep(found: Counterfactual, folder: Path) -> None:
    """Write one explanation, the record last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tensors.safetensors").write_bytes(found._packed())
    (folder / "result.json").write_text(json.dumps(found.records()[0]))
    (folder / "row.json").write_text(json.dumps({"method": found.method, "seed": found.seed}))


def read(method: str, seed: int) -> list[tuple[str, Counterfactual]]:
    """The rows of a method, with the image's name."""
    parent = place(method, "x", "y", seed).parent
    return [(f.parent.name.rsplit("-", 1)[0], Counterfactual.load(f.parent)) for f in sorted(parent.glob("*/row.json"))]


def oracles() -> dict[str, tuple[Any, dict[str, str]]]:
    """Independent classifiers, and what they call our classes; a missing one is left out with a word."""
    found: dict[str, tuple[Any, dict[str, str]]] = {
        "witness (tuning)": (load("witness"), {}),
        "isic2017": (load("isic2017"), {"mel": "melanoma", "nv": "nevus", "bkl": "seborrheic_keratosis"}),
    }
    if (RUNS / "grey" / "classifier.safetensors").exists():
        found["grey"] = (grey_oracle(), {})
    else:
        print("the oracle `grey` is left out: train it with experiments/oracles.py")
    return found


def measured(method: str, seed: int, judges: Judges) -> pd.DataFrame:
    """One line a row of a method: its metrics, its survival, and what the oracles say."""
    rows = read(method, seed)
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
            lpips=float(judges.lpips(found.image, found.query)), lpips_anchor=float(judges.lpips(found.painted, found.anchor)),
            **{f"survives {k}": float(v) for k, v in survives(found, judges.classifier).items()},
        )  # fmt: skip
        for name, (oracle, classes) in judges.oracles.items():
            belief = believed(found, oracle, classes=[classes.get(c, c) for c in found.classes])
            frame = frame.assign(
                **{
                    f"{name}: counted": bool(belief.counted),
                    f"{name}: flip": float(belief.flipped),
                    f"{name}: gain": float(belief.gain),
                }
            )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


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
    """A method's entry: on the second most likely class, and on nevus to melanoma; failures count."""
    second = rows[rows["second"]]
    hard = rows[(rows["source"] == "nv") & (rows["target"] == "mel")]
    flips = {n: wilson(second.loc[second[f"{n}: counted"], f"{n}: flip"]) for n in names}
    hards = {n: wilson(hard.loc[hard[f"{n}: counted"], f"{n}: flip"]) for n in names}
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


def judge(chosen: tuple[cfexplain.Method, ...], seed: int, name: str) -> None:
    """Write rows, entries and table of what has been searched so far."""
    lpips = load_lpips(DATA / "weights")
    classifier = load("ham10000")
    labels = {lesion.id: classifier.classes[lesion.label or 0] for lesion in manifest()}
    judges = Judges(classifier, oracles(), lpips, labels)
    frames = [f for m in chosen if len(f := measured(m.name, seed, judges))]
    rows = pd.concat(frames, ignore_index=True)
    rows.to_csv(RESULTS / f"{name}_rows.csv", index=False, float_format="%.5g")
    entries = [summary(f, list(judges.oracles)) for f in frames]
    (RESULTS / f"{name}.json").write_text(json.dumps(entries, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(table(entries))
    print(table(entries))


def sheet(count: int, seed: int) -> None:
    """The first lesions of the list, asked for the second most likely class: each method's image and change."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classifier, lesions = load("ham10000"), manifest()[:count]
    figure = Figure(figsize=(count * 1.1, 7.8))
    FigureCanvasAgg(figure)
    axes = figure.subplots(7, count, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for column, lesion in enumerate(lesions):
        query, _ = picture_and_mask(lesion, classifier.image_size)
        target = targets(classifier, query)["second"]
        axes[0, column].imshow(to_uint8(query[0]))
        for k, method in enumerate(("natural", "dip", "tv")):
            folder = place(method, lesion.id, target, seed)
            if (folder / "row.json").exists():
                found = Counterfactual.load(folder)
                axes[1 + 2 * k, column].imshow(to_uint8(found.image[0]))
                axes[2 + 2 * k, column].imshow(
                    plot.change_values(found.difference[0]), cmap="PuOr_r", vmin=-0.2, vmax=0.2
                )
                axes[0, column].set_title(f"{found.classes[int(found.source)]} → {target}", fontsize=8)
                axes[1 + 2 * k, 0].set_ylabel(method, fontsize=9)
    axes[0, 0].set_ylabel("query", fontsize=9)
    for k in range(3):
        axes[2 + 2 * k, 0].set_ylabel("change (±0.2)", fontsize=9)
    figure.savefig(RESULTS / "isic_comparison.png", dpi=80, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["search", "judge", "sheet"])
    parser.add_argument("--methods", choices=["main", "ablations"], default="main")
    parser.add_argument("--shard", default="0/1", help="k/n: every n-th lesion from the k-th on")
    parser.add_argument("--first", type=int, default=sum(COUNTS.values()), help="only so many lesions of the list")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    shard, shards = map(int, args.shard.split("/"))
    chosen = MAIN if args.methods == "main" else ABLATIONS
    if args.verb == "search":
        search(chosen, shard, shards, args.first, args.seed)
    elif args.verb == "sheet":
        sheet(min(args.first, 12), args.seed)
    else:
        judge(chosen, args.seed, "isic_comparison" if args.methods == "main" else "isic_ablations")


if __name__ == "__main__":
    main()
