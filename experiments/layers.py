"""What a classifier still knows of a lesion at each layer: pre-images by the prior, by the prior with the estimator, by TV.

    python experiments/layers.py                    an hour on one core; writes results/layers/
    python experiments/layers.py --lesions 2        the same of fewer lesions

The founding papers' first question (Ulyanov et al. 2018, section 3; Narayanaswamy et al. 2021): each tapped stage of
`ham10000` is inverted alone, from shallow to deep, and then all together. The lesions are the first of the list of
`isic_comparison.py`. Every inversion has 300 steps, half of the package's default, for the sake of time; its last
step is kept. `dip + estimator` adds the plain estimated loss: the hinge of the counterfactuals needs a target class,
and an inversion has none. Its weight, of 0.1, 0.01 and 0.001, was chosen by LPIPS on one validation lesion: at stage 4,
where 0.1 was the best; at stage 1 it was the worst. The sheet shows the first two lesions. Finished inversions stay in
runs/layers/.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from isic_comparison import DATA, RESULTS, ROOT, manifest, picture_and_mask
from isic_judge import interval
from safetensors.torch import load_file, save_file
from torch import Tensor

import cfexplain
from cfexplain.explanation.metrics.perceptual import Distance, load_lpips
from cfexplain.images import to_uint8
from cfexplain.method.stop import psnr
from cfexplain.terms import EstimatedLoss
from cfexplain.terms.features import relative_error
from cfexplain_classifiers import folded, load

OUT, RUN = RESULTS / "layers", ROOT / "runs" / "layers"
STEPS, WEIGHT, SHOWN = 300, 0.1, 2
ESTIMATED = replace(
    cfexplain.DIP_INVERSION,
    name="dip + estimator",
    edit=replace(
        cfexplain.DIP_INVERSION.edit,
        objective=cfexplain.DIP_INVERSION.edit.objective | cfexplain.total((WEIGHT, EstimatedLoss())),
    ),
)
METHODS = tuple(
    replace(m, edit=replace(m.edit, steps=STEPS)) for m in (cfexplain.DIP_INVERSION, ESTIMATED, cfexplain.TV_INVERSION)
)
COLUMNS = ("feature_error", "psnr", "lpips", "estimated_loss", "query_loss")


@dataclass(frozen=True)
class Stage:
    """Taps that are matched together; its name says which."""

    name: str
    taps: tuple[int, ...]


def stages(taps: int) -> list[Stage]:
    """Each tap alone, then all."""
    return [Stage(str(i), (i,)) for i in range(taps)] + [Stage("all", tuple(range(taps)))]


def preimage(classifier: Any, query: Tensor, name: str, stage: Stage, method: cfexplain.Method) -> Tensor:
    """The pre-image, from disk where it was found before."""
    kind = f"{method.name} {STEPS}".replace(" + ", "-").replace(" ", "-")
    path = RUN / (f"{kind}-{WEIGHT:g}" if method is METHODS[1] else kind) / f"{name}-{stage.name}.safetensors"
    if not path.exists():
        found = cfexplain.invert(classifier, query, layers=stage.taps, method=method)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"image": found.image.contiguous()}, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
        print(method.name, name, stage.name, f"{found.seconds[0]:.0f} s", flush=True)
    return load_file(path)["image"]


@torch.no_grad()
def measured(classifier: Any, query: Tensor, image: Tensor, stage: Stage, lpips: Distance) -> dict[str, Any]:
    """How near a pre-image is, in the matched taps, in pixels, to the eye and to the estimator."""
    before, after = classifier(query), classifier(image)
    errors = [float(relative_error(a, b)) for a, b in zip(after.features, before.features, strict=True)]
    return {
        "feature_error": sum(errors[t] for t in stage.taps) / len(stage.taps),
        "feature_error_all": sum(errors) / len(errors),
        "psnr": psnr(image, query),
        "lpips": float(lpips(image, query)),
        "estimated_loss": float(after.loss),
        "query_loss": float(before.loss),
        "class_kept": bool(after.logits.argmax() == before.logits.argmax()),
    }


def summary(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry a stage and method: means with intervals over lesions, and in how many the class is kept."""
    return [
        {"stage": stage, "method": method, "n": len(chosen), "class_kept": int(chosen["class_kept"].sum())}
        | {c: interval(chosen, c) for c in (*COLUMNS, "feature_error_all")}
        for (stage, method), chosen in rows.groupby(["stage", "method"], sort=False)
    ]


def differences(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What the estimator adds to the prior, lesion by lesion, at each stage and on average over the stages."""
    wide = rows.pivot_table(index=["stage", "image"], columns="method", sort=False)
    found = []
    for stage in (*rows["stage"].unique(), "mean of stages"):
        entry: dict[str, Any] = {"stage": stage}
        for column in COLUMNS[:4]:
            away = wide[column][METHODS[1].name] - wide[column][METHODS[0].name]
            own = away.loc[stage] if stage in away.index else away.groupby("image").mean()
            entry[column] = interval(own.to_frame(column), column)
        found.append(entry)
    return found


def cell(value: dict[str, float], digits: int) -> str:
    return f"{value['mean']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"


def table(entries: list[dict[str, Any]], away: list[dict[str, Any]]) -> str:
    """Both as Markdown."""
    digits = dict(zip(COLUMNS, (4, 1, 3, 2, 2), strict=True))
    lines = [
        f"Pre-images of n = {entries[0]['n']} test lesions, {STEPS} steps each; means with 95 % bootstrap intervals over lesions.",
        "",
        "| stage | method | relative feature error | PSNR, dB | LPIPS | estimated loss | that of the query | class kept |",
        "|" + "---|" * 8,
    ]
    for e in entries:
        cells = " | ".join(cell(e[c], digits[c]) for c in COLUMNS)
        kept = f"{e['class_kept']} of {e['n']}"
        lines.append(f"| {e['stage']} | {e['method']} | {cells} | {kept} |")
    lines += [
        "",
        f"`{METHODS[1].name}` (weight {WEIGHT:g}) minus `{METHODS[0].name}`, by lesion:",
        "",
        "| stage | relative feature error | PSNR, dB | LPIPS | estimated loss |",
        "|" + "---|" * 5,
    ]
    lines += [f"| {e['stage']} | " + " | ".join(cell(e[c], digits[c]) for c in COLUMNS[:4]) + " |" for e in away]
    return "\n".join(lines) + "\n"


def sheet(pictures: dict[tuple[str, str, str], Tensor], queries: dict[str, Tensor], path: Path) -> None:
    """The query and the pre-images of each stage; a row a lesion and method."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(stage for _, _, stage in pictures))
    figure = Figure(figsize=(1.15 * (1 + len(names)), 1.15 * len(queries) * len(METHODS)))
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(queries) * len(METHODS), 1 + len(names), squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03}
    )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for k, (image, query) in enumerate(queries.items()):
        for m, method in enumerate(METHODS):
            row = axes[k * len(METHODS) + m]
            row[0].set_ylabel(method.name.replace(" + ", "\n+ "), fontsize=8)
            row[0].imshow(to_uint8(query[0]))
            for axis, stage in zip(row[1:], names, strict=True):
                axis.imshow(to_uint8(pictures[image, method.name, stage][0]))
    for axis, name in zip(axes[0], ("query", *(n if n == "all" else f"stage {n}" for n in names)), strict=True):
        axis.set_title(name, fontsize=8)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lesions", type=int, default=12, help="so many of the fixed list's first")
    count = parser.parse_args().lesions
    OUT.mkdir(parents=True, exist_ok=True)
    classifier, lpips = folded(load("ham10000")), load_lpips(DATA / "weights")
    queries = {lesion.id: picture_and_mask(lesion, classifier.image_size)[0] for lesion in manifest()[:count]}
    rows, pictures = [], {}
    for image, query in queries.items():
        with torch.no_grad():
            taps = len(classifier(query).features)
        for stage in stages(taps):
            for method in METHODS:
                found = preimage(classifier, query, image, stage, method)
                pictures[image, method.name, stage.name] = found
                facts = measured(classifier, query, found, stage, lpips)
                rows.append({"image": image, "stage": stage.name, "method": method.name} | facts)
    frame = pd.DataFrame(rows)
    frame.to_csv(OUT / "rows.csv", index=False, float_format="%.5g")
    entries, away = summary(frame), differences(frame)
    facts = {"steps": STEPS, "estimator_weight": WEIGHT, "entries": entries, "estimator_minus_none": away}
    (OUT / "table.json").write_text(json.dumps(facts, indent=1) + "\n")
    (OUT / "table.md").write_text(table(entries, away))
    shown = dict(list(queries.items())[:SHOWN])
    sheet(pictures, shown, OUT / "preimages.png")
    print(table(entries, away))


if __name__ == "__main__":
    main()
