"""From runs/restoration/ to results/restoration/: tables, flat rows and README's summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from shared import markdown, write_json

from cfexplain.images import write_whole
from cfexplain.restore import PRESETS
from restoration_study.part import OUT, PARTS, RUNS
from restoration_study.published import PUBLISHED

RECORDED = (
    "part", "folder", "image", "preset", "seed", "steps", "seconds", "device", "threads", "method", "input", "last",
    "average", "ssim",
)  # fmt: skip
RULES = ("wmv", "emv", "wmv average", "emv average", "held out average")
OUTPUTS = {"last": "last", "average": "average of outputs"}
CHOSEN = {f"{rule} psnr": rule for rule in RULES}
CHOSEN |= {f"{kind} at {step}": f"{kind} at {step}" for step in (1800, 3000) for kind in ("raw", "average")}


def flat_row(path: Path) -> dict[str, Any]:
    """A finished run; its peaks are no lower than any output, as the curve holds only some of the steps."""
    row = json.loads(path.read_text())
    row["folder"] = path.parent.name
    outputs = {"raw": [row["last"]], "average": [row["average"]]}
    for rule, found in row["rules"].items():
        outputs["average" if rule.endswith("average") else "raw"].append(found["psnr"])
    flat = {k: row.get(k) for k in RECORDED}
    flat |= {f"peak {kind}": max(row["peak"][kind], *values) for kind, values in outputs.items()}
    flat |= {f"peak at {kind}": step for kind, step in row["peak_at"].items()}
    flat |= {f"{kind} {at}": v for at, both in row["kept"].items() for kind, v in both.items()}
    flat |= {f"{rule} {k}": v for rule, found in row["rules"].items() for k, v in found.items()}
    return flat | {"stopped by itself": ",".join(row["stopped_by_itself"])}


def rows_of(name: str) -> pd.DataFrame:
    """Every finished run of a part: those of runs/, and those that results/ has kept of other runs."""
    frames = [pd.DataFrame([flat_row(path) for path in sorted((RUNS / name).glob("*/*.json"))])]
    if (OUT / "rows.csv").exists():
        before = pd.read_csv(OUT / "rows.csv")
        frames.append(before[before["part"] == name].dropna(axis=1, how="all"))
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame()
    return pd.concat(frames, ignore_index=True).drop_duplicates(["folder", "image"])


def flat() -> pd.DataFrame:
    """Every finished run as one flat row: what README and the reader need of `runs/`."""
    return pd.concat([rows for name in PARTS if len(rows := rows_of(name))], ignore_index=True)


def stopped(rows: pd.DataFrame, rule: str) -> pd.Series:
    """Whether a rule stopped each run by itself."""
    return rows["stopped by itself"].fillna("").map(lambda names: rule in names.split(","))


def summary(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What README shows: each run with its outputs, beside the published numbers of the same image.

    Runs that were cut short to see the beginning of their curve are in the table alone.
    """
    found = []
    for row in rows.assign(stopped=stopped(rows, "wmv average")).to_dict("records"):
        part = PARTS[row["part"]]
        if row["steps"] < 0.4 * PRESETS[part.method].edit.steps:
            continue
        average = "average where ES-WMV stops" if row["stopped"] else "average"
        outputs = {average: (row["wmv average psnr" if row["stopped"] else "average"], row["peak average"])}
        if not row["part"].startswith("denoising") and row["preset"] != "fast":
            outputs["last painting, with jitter"] = (row["last"], row["peak raw"])
        index, published = part.images.index(row["image"]), PUBLISHED.get(row["part"], {})
        found.append(
            {k: row[k] for k in ("part", "image", "preset", "steps", "seconds", "device", "threads", "input")}
            | {"psnr_and_peak": outputs, "published": {title: values[index] for title, values in published.items()}}
        )
    return found


def table(name: str) -> str:
    """Published and own numbers, a column an image; own means over the images run, beside the published mean of the same."""
    images, own, published = PARTS[name].images, rows_of(name), PUBLISHED.get(name, {})
    lines = {title: dict(zip(images, values, strict=True)) for title, values in published.items()}
    dip = next((values for title, values in lines.items() if title.startswith("DIP")), {})
    if (OUT / "classic.csv").exists():
        frame = pd.read_csv(OUT / "classic.csv")
        for method, group in frame[frame["part"] == name].groupby("method", sort=False):
            lines[str(method)] = group.set_index("image")["psnr"].to_dict()
    if len(own):
        columns = OUTPUTS | (CHOSEN if name.startswith("denoising") else {})
        for folder, group in own.groupby("folder"):
            for column in (c for c in columns if c in group and group[c].notna().all()):
                lines[f"ours, {folder}: {columns[column]}"] = group.set_index("image")[column].to_dict()
    text = markdown(
        [f"{name}, PSNR", "n", *images, "mean of n", "published DIP on the same n"],
        (
            [
                title, len(values), *(f"{values[i]:.2f}" if i in values else "" for i in images),
                f"{np.mean(list(values.values())):.2f}", f"{np.mean([dip[i] for i in values]):.2f}" if dip else "",
            ]
            for title, values in lines.items()
        ),
    )  # fmt: skip
    if name.startswith("super"):
        text += "\nThe published bicubic, LapSRN and SRResNet are of reductions by others; ours are by Pillow's Lanczos filter.\n"
    rows = stops(own) if name.startswith("denoising") else []
    return text + ("\n" + markdown(list(rows[0]), (row.values() for row in rows)) if rows else "")  # type: ignore[misc]


def stops(own: pd.DataFrame) -> list[dict[str, Any]]:
    """How far each rule stays below its run's own peak, a row a preset and rule."""
    found = []
    for folder, group in own.groupby("folder") if len(own) else ():
        for rule in (r for r in RULES if f"{r} psnr" in group and group[f"{r} psnr"].notna().all()):
            loss = group["peak average" if rule.endswith("average") else "peak raw"] - group[f"{rule} psnr"]
            found.append(
                {
                    "run": folder, "rule": rule, "n": len(loss), "stopped by itself": int(stopped(group, rule).sum()),
                    "within 0.5 dB of its peak": int((loss <= 0.5).sum()),
                    "mean loss": round(float(loss.mean()), 2), "largest loss": round(float(loss.max()), 2),
                }
            )  # fmt: skip
    return found


def report() -> None:
    """Write everything anew."""
    (OUT / "table.md").write_text("\n".join(table(name) for name in PARTS))
    rows = flat()
    write_whole(OUT / "rows.csv", rows.to_csv(index=False, float_format="%.4f").encode())
    found = {name: stops(rows_of(name)) for name in ("denoising", "denoising-middle")}
    write_json(OUT / "summary.json", {"runs": summary(rows), "stops": found})
