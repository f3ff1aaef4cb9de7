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

from dataclasses import replace
from typing import Any

import pandas as pd
from safetensors.torch import load_file, save_file
from shared import RESULTS, RUNS, cell, command, image_and_mask, interval, lpips, manifest, markdown, sheet, write_json
from torch import Tensor

import cfexplain
from cfexplain.classifier.checks import predict
from cfexplain.method.stop import psnr
from cfexplain.terms import EstimatedLoss
from cfexplain.terms.features import relative_error
from cfexplain_classifiers import folded, load

OUT, RUN = RESULTS / "layers", RUNS / "layers"
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


def stages(taps: int) -> dict[str, tuple[int, ...]]:
    """Each tap alone, then all of them matched together."""
    return {str(i): (i,) for i in range(taps)} | {"all": tuple(range(taps))}


def preimage(classifier: Any, query: Tensor, image: str, stage: str, method: cfexplain.Method) -> Tensor:
    """The pre-image, from disk where it was found before."""
    kind = f"{method.name} {STEPS}".replace(" + ", "-").replace(" ", "-")
    path = RUN / (f"{kind}-{WEIGHT:g}" if method is METHODS[1] else kind) / f"{image}-{stage}.safetensors"
    if not path.exists():
        taps = stages(len(predict(classifier, query).features))[stage]
        found = cfexplain.invert(classifier, query, layers=taps, method=method)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"image": found.image.contiguous()}, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
        print(method.name, image, stage, f"{found.seconds[0]:.0f} s", flush=True)
    return load_file(path)["image"]


def measured(classifier: Any, query: Tensor, image: Tensor, taps: tuple[int, ...]) -> dict[str, Any]:
    """How near a pre-image is, in the matched taps, in pixels, to the eye and to the estimator."""
    before, after = predict(classifier, query), predict(classifier, image)
    errors = [float(relative_error(a, b)) for a, b in zip(after.features, before.features, strict=True)]
    return {
        "feature_error": sum(errors[t] for t in taps) / len(taps),
        "feature_error_all": sum(errors) / len(errors),
        "psnr": psnr(image, query),
        "lpips": float(lpips()(image, query)),
        "estimated_loss": float(after.loss),
        "query_loss": float(before.loss),
        "class_kept": bool(after.logits.argmax() == before.logits.argmax()),
    }


def summary(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry a stage and method: means with intervals over lesions, and in how many the class is kept."""
    return [
        {"stage": stage, "method": method, "n": len(chosen), "class_kept": int(chosen["class_kept"].sum())}
        | {c: interval(chosen[c]) for c in (*COLUMNS, "feature_error_all")}
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
            entry[column] = interval(own)
        found.append(entry)
    return found


def table(entries: list[dict[str, Any]], away: list[dict[str, Any]]) -> str:
    digits = dict(zip(COLUMNS, (4, 1, 3, 2, 2), strict=True))
    names = ["relative feature error", "PSNR, dB", "LPIPS", "estimated loss"]
    first = markdown(
        ["stage", "method", *names, "that of the query", "class kept"],
        (
            [e["stage"], e["method"], *(cell(e[c], digits[c]) for c in COLUMNS), f"{e['class_kept']} of {e['n']}"]
            for e in entries
        ),
    )
    second = markdown(["stage", *names], ([e["stage"], *(cell(e[c], digits[c]) for c in COLUMNS[:4])] for e in away))
    return (
        f"Pre-images of n = {entries[0]['n']} test lesions, {STEPS} steps each; means with 95 % bootstrap intervals over "
        f"lesions.\n\n{first}\n`{METHODS[1].name}` (weight {WEIGHT:g}) minus `{METHODS[0].name}`, by lesion:\n\n{second}"
    )


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--lesions", type=int, default=12, help="so many of the fixed list's first")
    count = parser.parse_args().lesions
    OUT.mkdir(parents=True, exist_ok=True)
    classifier, rows, lines, labels = folded(load("ham10000")), [], [], []
    for number, lesion in enumerate(manifest()[:count]):
        query = image_and_mask(lesion, classifier.image_size)[0]
        by_stage = stages(len(predict(classifier, query).features))
        found = {(m.name, s): preimage(classifier, query, lesion.id, s, m) for s in by_stage for m in METHODS}
        for (method, stage), image in found.items():
            facts = measured(classifier, query, image, by_stage[stage])
            rows.append({"image": lesion.id, "stage": stage, "method": method} | facts)
        if number < SHOWN:
            lines += [[query[0], *(found[m.name, s][0] for s in by_stage)] for m in METHODS]
            labels += [m.name.replace(" + ", "\n+ ") for m in METHODS]
            titles = ["query", *(s if s == "all" else f"stage {s}" for s in by_stage)]
    frame = pd.DataFrame(rows)
    frame.to_csv(OUT / "rows.csv", index=False, float_format="%.5g")
    entries, away = summary(frame), differences(frame)
    facts = {"steps": STEPS, "estimator_weight": WEIGHT, "entries": entries, "estimator_minus_none": away}
    write_json(OUT / "table.json", facts)
    (OUT / "table.md").write_text(table(entries, away))
    sheet(lines, OUT / "preimages.png", titles=titles, labels=labels)
    print(table(entries, away))


if __name__ == "__main__":
    main()
