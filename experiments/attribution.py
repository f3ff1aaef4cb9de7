"""Which attribution method points at what the counterfactual changes, and at what causes the label?

    python experiments/attribution.py search --part isic --shard 0/2     about 10 s of one core a lesion that is kept, else 25 s
    python experiments/attribution.py search --part synthetic            about 15 s of one core a lesion
    python experiments/attribution.py table                              minutes; writes results/attribution/

`isic`: the first 100 lesions of `isic_comparison.manifest()`, the shipped classifier, its second most likely class, the
default counterfactual; what `isic_comparison.py` has found with the same settings is read from its rows.
`synthetic`: the first test lesions that the `synthetic` classifier recognises, asked for the other class. There the
cause is known: the pixels in which the true counterfactual differs. Each map is scored by the area under the ROC curve
with which its magnitude tells those pixels from the rest, and by its energy on them and on hair, ruler and vignette.
The maps attribute the logit of the predicted class. The lists and the measures were fixed before anything was computed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from isic_comparison import explained, kept, place
from known_causes import cause_and_nuisance, recognised
from shared import RESULTS, RUNS, cell, command, image_and_mask, manifest, markdown, targets
from sklearn.metrics import roc_auc_score
from torch import Tensor

import cfexplain
from cfexplain.attribution.comparison import Comparison, summary, table
from cfexplain.attribution.measures import BETTER, CHANGE, EDGES, RANDOM, REFERENCES
from cfexplain.attribution.methods import named
from cfexplain.explanation.plot import blank_figure, save
from cfexplain.method.presets import NATURAL
from cfexplain.method.stage import settings_of
from cfexplain.search.edit import Edit
from cfexplain.statistics import bootstrap_mean, spearman
from cfexplain_classifiers import folded, load
from cfexplain_datasets.lesion import Lesion
from cfexplain_datasets.synthetic import SyntheticLesions

OUT = RESULTS / "attribution"
RUN = RUNS / "attribution"
COUNTS = {"isic": 100, "synthetic": 60}
CAUSE = ("cause_auroc", "cause_energy", "nuisance_energy")
AGREEMENT = ("rank_correlation", "top_overlap", "cout", "deletion", "sufficiency")


def compared(classifier: Any, found: Edit) -> Comparison:
    """All methods on one lesion."""
    maps = {
        name: cfexplain.attribute(classifier, found.query, found.source, name, counterfactual=found.image)
        for name in named("all")
    }
    return cfexplain.compare(found, maps, classifier=classifier)


def isic(count: int) -> Iterator[tuple[str, Callable[[], pd.DataFrame]]]:
    """The lesions by name, each with a function that computes its rows."""
    classifier = explained("")
    settings = json.loads(json.dumps(settings_of(NATURAL)))

    def rows(lesion: Lesion) -> pd.DataFrame:
        query, mask = image_and_mask(lesion, classifier.image_size)
        target = targets(classifier, query)["second"]
        found = kept(place(NATURAL.name, lesion.id, target, 0))
        if found is None or found.settings != settings:
            found = cfexplain.explain(classifier, query, target, mask=mask)
        return compared(classifier, found).rows.assign(label=lesion.label)

    for lesion in manifest()[:count]:
        yield lesion.id, partial(rows, lesion)


def synthetic(count: int) -> Iterator[tuple[str, Callable[[], pd.DataFrame]]]:
    """The same of lesions drawn by a known rule."""
    classifier, data = folded(load("synthetic")), SyntheticLesions(400, 64, 0, "test")

    def rows(index: int) -> pd.DataFrame:
        lesion = data[index]
        target = 1 - int(lesion.label or 0)
        found = cfexplain.explain(classifier, lesion.image[None], target, mask=lesion.mask[None])
        done, where = compared(classifier, found), cause_and_nuisance(data, index, target)
        scores = [on_cause(values[0], *where) for values in done.heatmaps.values()]
        return done.rows.join(pd.DataFrame(scores)).assign(label=lesion.label)

    for index in recognised(classifier, data, count):
        yield f"{index:04d}", partial(rows, index)


def on_cause(heatmap: Tensor, where: Tensor, nuisance: Tensor) -> dict[str, float]:
    """How a map tells the cause from the rest; energies as multiples of what an even map has."""
    energy = heatmap.square()
    whole = float(energy.sum().clamp_min(1e-12))

    def lift(area: Tensor) -> float:
        share = float(area.float().mean())
        return float((energy * area).sum()) / whole / share if share > 0 else float("nan")

    auroc = roc_auc_score(where.flatten().numpy(), heatmap.abs().flatten().numpy()) if where.sum() > 0 else np.nan
    return {"cause_auroc": float(auroc), "cause_energy": lift(where), "nuisance_energy": lift(nuisance)}


def search(part: str, count: int, shard: str) -> None:
    """Compute every lesion that is not there yet."""
    number, shards = map(int, shard.split("/"))
    (RUN / part).mkdir(parents=True, exist_ok=True)
    for k, (name, rows) in enumerate({"isic": isic, "synthetic": synthetic}[part](count)):
        path = RUN / part / f"{name}.csv"
        if k % shards == number and not path.exists():
            rows().assign(image=name).to_csv(path.with_suffix(".part"), index=False)
            path.with_suffix(".part").rename(path)
            print(part, name, flush=True)


def read(part: str) -> pd.DataFrame:
    """The rows of all lesions."""
    frames = [pd.read_csv(path, dtype={"image": str}) for path in sorted((RUN / part).glob("*.csv"))]
    return pd.concat(frames, ignore_index=True)


def causes(rows: pd.DataFrame) -> pd.DataFrame:
    """Means and intervals of the scores on the known cause."""
    return pd.DataFrame(
        {"method": method, "measure": name} | asdict(bootstrap_mean(own[name].to_numpy(float)))
        for method, own in rows.groupby("method", sort=False)
        for name in CAUSE
    )


def predicts(rows: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """Rank correlation, over methods, of each measure with the cause's AUROC: by lesion, and of the methods' means.

    Measures where lower is better are turned. The references, and the maps that start from the counterfactual and so
    agree with it by construction, are left out. Intervals: bootstrap over lesions.
    """
    own = rows[~rows["method"].isin((*REFERENCES, "integrated-gradients-counterfactual"))]
    lesions, rng, found = own["image"].unique(), np.random.default_rng(0), []
    picks = rng.integers(len(lesions), size=(draws, len(lesions)))
    truth = own.pivot(index="image", columns="method", values="cause_auroc").loc[lesions]
    for name in AGREEMENT:
        sign = 1 if BETTER[name] == "higher" else -1
        said = sign * own.pivot(index="image", columns="method", values=name).loc[lesions, truth.columns]
        single = np.array([correlation(said.loc[i], truth.loc[i]) for i in lesions])
        a, b = said.to_numpy(float), truth.to_numpy(float)
        means = [correlation(np.nanmean(a[p], 0), np.nanmean(b[p], 0)) for p in picks[: draws // 4]]
        low, high = np.nanquantile(means, (0.025, 0.975))
        overall = correlation(np.nanmean(a, 0), np.nanmean(b, 0))
        found += [
            {"measure": name, "over": "methods in a lesion"} | asdict(bootstrap_mean(single)),
            {"measure": name, "over": "means of methods", "n": len(lesions), "mean": overall, "low": low, "high": high},
        ]
    return pd.DataFrame(found)


def beyond_edges(rows: pd.DataFrame) -> pd.DataFrame:
    """How much better each method is than the picture's edges: paired differences over lesions, more is better."""
    found = []
    for name in (n for n in (*BETTER, "cause_auroc") if n in rows):
        sign = -1 if BETTER.get(name) == "lower" else 1
        own = rows.pivot(index="image", columns="method", values=name)
        found += [
            {"method": method, "measure": name}
            | asdict(bootstrap_mean(sign * (own[method] - own[EDGES]).to_numpy(float)))
            for method in rows["method"].unique()
            if method not in (EDGES, RANDOM)
        ]
    return pd.DataFrame(found)


def correlation(a: Any, b: Any) -> float:
    """Spearman's; undefined where fewer than three are known."""
    both = np.isfinite(np.asarray(a, float)) & np.isfinite(np.asarray(b, float))
    return spearman(a, b) if both.sum() >= 3 else float("nan")


def means_table(rows: pd.DataFrame, index: list[str]) -> str:
    lines = ([*(str(r[i]).replace("_", " ") for i in index), r["n"], cell(r)] for r in rows.to_dict("records"))
    return markdown([*index, "n", "mean [95 %]"], lines)


def cause_table(rows: pd.DataFrame) -> str:
    """The scores on the cause: a row a method."""
    groups = rows.groupby("method", sort=False)
    lines = ([method, *(cell(r) for r in own.to_dict("records"))] for method, own in groups)
    return markdown(["method", *(c.replace("_", " ") for c in CAUSE)], lines)


def figure(means: dict[str, pd.DataFrame], cause: pd.DataFrame, path: Path) -> None:
    """Agreement against cause on synthetic lesions, and two measures on ISIC lesions; a point a method."""
    from cfexplain.attribution.figure import _points, shortened

    drawn = blank_figure(13.6, 4.3)
    left, middle, right = (
        drawn.add_axes((x, 0.14, w, 0.76)) for x, w in ((0.045, 0.31), (0.625, 0.165), (0.82, 0.165))
    )
    table = means["synthetic"]
    across = table[table["measure"] == "rank_correlation"].set_index("method")
    up = cause[cause["measure"] == "cause_auroc"].set_index("method")
    placed: list[tuple[float, float]] = []
    for number, name in enumerate(n for n in across.index if n != CHANGE):
        x, y = across.loc[name], up.loc[name]
        left.plot((x["low"], x["high"]), (y["mean"],) * 2, color="0.75", linewidth=0.8)
        left.plot((x["mean"],) * 2, (y["low"], y["high"]), color="0.75", linewidth=0.8)
        label = f"{number + 1} {shortened(name)}"
        left.plot(
            x["mean"], y["mean"], "o", color="0.5" if name in REFERENCES else "#5e3c99", markersize=4, label=label
        )
        crowded = any(abs(x["mean"] - a) < 0.03 and abs(y["mean"] - b) < 0.01 for a, b in placed)
        placed.append((x["mean"], y["mean"]))
        left.annotate(str(number + 1), placed[-1], (-12, -9) if crowded else (4, 3), textcoords="offset points",
                      fontsize=8)  # fmt: skip
    left.axhline(up.loc[CHANGE, "mean"], color="0.2", linewidth=0.9, linestyle="--")
    left.text(0.99, up.loc[CHANGE, "mean"], "the change itself", transform=left.get_yaxis_transform(), ha="right",
              va="bottom", fontsize=8)  # fmt: skip
    left.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=0.6)
    left.set_xlabel("rank correlation with the counterfactual's change")
    left.set_ylabel("AUROC of the known cause")
    left.set_title("synthetic lesions", fontsize=9.5)
    table = means["isic"]
    methods = list(dict.fromkeys(table["method"]))
    for axis, name, shown in ((middle, "cout", "COUT"), (right, "sufficiency", "sufficient share")):
        _points(axis, table[table["measure"] == name].set_index("method"), methods)
        axis.set_title(f"ISIC: {shown}, {BETTER[name]} is better", fontsize=9)
        axis.set_yticklabels([shortened(m) for m in methods] if axis is middle else [], fontsize=8)
    save(drawn, path)


def tabulate() -> None:
    """Write what the rows say."""
    OUT.mkdir(parents=True, exist_ok=True)
    means, text, record = {}, "", {}
    for part in COUNTS:
        rows = read(part)
        rows.to_csv(OUT / f"{part}_rows.csv", index=False, float_format="%.5g")
        means[part] = summary(rows)
        record[part] = {"lesions": rows["image"].nunique(), "found": float(rows["found"].mean())}
        record[part]["methods"] = plain(means[part])
        text += f"## {part}: {rows['image'].nunique()} lesions\n\n{table(means[part])}\n"
        beyond = beyond_edges(rows)
        record[part]["beyond_edges"] = plain(beyond)
        text += "### Better than the edges of the picture by\n\n" + means_table(
            beyond[beyond["measure"].isin(("cout", "sufficiency", "cause_auroc"))], ["measure", "method"]
        )
        text += "\n"
        if part == "synthetic":
            cause, told = causes(rows), predicts(rows)
            record[part] |= {"cause": plain(cause), "predicts": plain(told)}
            text += f"### The known cause (energies: times that of an even map)\n\n{cause_table(cause)}\n"
            text += "### Does a measure predict which method finds the cause? Spearman's correlation\n\n"
            text += means_table(told, ["measure", "over"])
    (OUT / "attribution.json").write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    (OUT / "attribution.md").write_text(text)
    figure(means, cause, OUT / "attribution.png")
    print(text)


def plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON, without undefined numbers."""
    return json.loads(rows.to_json(orient="records", double_precision=5))  # type: ignore[no-any-return]


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("command", choices=["search", "table"])
    parser.add_argument("--part", choices=COUNTS, default="isic")
    parser.add_argument("--first", type=int, help="only so many lesions of the list")
    parser.add_argument("--shard", default="0/1", help="k/n: every n-th lesion from the k-th on")
    args = parser.parse_args()
    if args.command == "table":
        tabulate()
    else:
        search(args.part, args.first or COUNTS[args.part], args.shard)


if __name__ == "__main__":
    main()
