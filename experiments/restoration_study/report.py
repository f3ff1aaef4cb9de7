"""From runs/restoration/ to results/restoration/: tables, flat rows, README's summary and curves."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
import torch

from cfexplain.images import write_whole
from cfexplain.restore import PRESETS
from restoration_study.part import OUT, PARTS, RUNS, opened
from restoration_study.published import F16_CURVE, PUBLISHED
from restoration_study.run import method_of


def rows_of(name: str) -> pd.DataFrame:
    """Every finished run of a part at today's settings: those of runs/, and those that results/ has kept of other runs."""
    rows = [
        with_peaks(row) | {"folder": path.parent.name, "digest": digest(row["settings"])}
        for path in sorted((RUNS / name).glob("*/*.json"))
        for row in [json.loads(path.read_text())]
    ]
    here = {(row["folder"], row["image"]) for row in rows}
    rows += [row for row in kept_of(name) if (row["folder"], row["image"]) not in here]
    return pd.DataFrame(
        [row for row in rows if row["digest"] == digest(repr(method_of(PARTS[name].method, *_asked(row))))]
    )


def digest(settings: str) -> str:
    """What tells rows of other settings from rows of these."""
    return hashlib.sha256(settings.encode()).hexdigest()[:12]


def kept_of(name: str) -> list[dict[str, Any]]:
    """The rows of results/restoration/rows.csv, as they were before `flat`."""
    path = OUT / "rows.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    return [nested({k: v for k, v in row.items() if pd.notna(v)}) for row in rows if row["part"] == name]


def _asked(row: dict[str, Any]) -> tuple[str, int | None]:
    """The preset of a row, and the steps that were asked for in place of the preset's: the end of its folder's name."""
    steps = row["folder"].removeprefix(f"{row['preset']}-{row['seed']}").removeprefix("-")
    return row["preset"], int(steps) if steps else None


def nested(row: dict[str, Any]) -> dict[str, Any]:
    """A row as `run` writes it, from a flat one without empty cells."""
    found: dict[str, Any] = {k: row[k] for k in TOLD if k in row} | {"peak": {}, "peak_at": {}, "kept": {}, "rules": {}}
    for key, value in row.items():
        if key.startswith("peak "):
            found["peak_at" if " at " in key else "peak"][key.split()[-1]] = value
        elif " at " in key:
            kind, at = key.split(" ", 1)
            found["kept"].setdefault(at, {})[kind] = value
        elif key.endswith((" psnr", " stopped")):
            rule, measure = key.rsplit(" ", 1)
            found["rules"].setdefault(rule, {})[measure] = value
    alone = str(row.get("stopped by itself", "")).split(",")
    return found | {"stopped_by_itself": [rule for rule in found["rules"] if rule in alone]}


def with_peaks(row: dict[str, Any]) -> dict[str, Any]:
    """The row with peaks no lower than anything the run handed over: curves hold only some of the steps."""
    told = {"raw": [row["last"]], "average": [row["average"]]}
    for rule, found in row["rules"].items():
        told["average" if rule.endswith("average") else "raw"].append(found["psnr"])
    return row | {"peak": {kind: max(row["peak"][kind], *values) for kind, values in told.items()}}


TOLD = (
    "part", "folder", "image", "preset", "seed", "steps", "seconds", "device", "threads", "method", "input", "last",
    "average", "ssim", "digest",
)  # fmt: skip


def flat() -> pd.DataFrame:
    """Every finished run as one flat row: what README and the reader need of `runs/`."""
    found = []
    for name in PARTS:
        for row in rows_of(name).to_dict("records"):
            kept = {k: row.get(k) for k in TOLD}
            for name_of, values in {"peak": row["peak"], "peak at": row["peak_at"]}.items():
                kept |= {f"{name_of} {k}": v for k, v in values.items()}
            kept |= {f"{k} {at}": v for at, both in row["kept"].items() for k, v in both.items()}
            kept |= {f"{rule} {k}": v for rule, both in row["rules"].items() for k, v in both.items()}
            found.append(kept | {"stopped by itself": ",".join(row["stopped_by_itself"])})
    return pd.DataFrame(found)


def summary(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What README shows: each run with what it hands over, beside the published numbers of the same picture.

    Runs that were cut short to see the beginning of their curve are in the table alone.
    """
    found = []
    for row in rows.to_dict("records"):
        part = PARTS[row["part"]]
        if row["steps"] < 0.4 * PRESETS[part.method].edit.steps:
            continue
        told = PUBLISHED.get(row["part"], {})
        stopped = "wmv average" in str(row.get("stopped by itself")).split(",")
        average = "average where ES-WMV stops" if stopped else "average"
        handed = {average: (row["wmv average psnr" if stopped else "average"], row["peak average"])}
        if not row["part"].startswith("denoising") and row["preset"] != "fast":
            handed |= {"last painting, with jitter": (row["last"], row["peak raw"])}
        found.append(
            {k: row[k] for k in ("part", "image", "preset", "steps", "seconds", "device", "threads", "input")}
            | {"psnr_and_peak": handed}
            | {"published": {title: values[part.images.index(row["image"])] for title, values in told.items()}}
        )
    return found


def table(name: str) -> str:
    """Published and own numbers, a column an image; own means over the images run, beside the published mean of the same."""
    part, lines = PARTS[name], []
    own = rows_of(name)
    lines.append(f"| {name}, PSNR | n | " + " | ".join(part.images) + " | mean of n | published DIP on the same n |")
    lines.append("|" + "---|" * (len(part.images) + 4))
    published = PUBLISHED.get(name, {})
    dip = next((values for title, values in published.items() if title.startswith("DIP")), ())
    for title, values in published.items():
        lines.append(_line(title, dict(zip(part.images, values, strict=True)), part.images, dip))
    simple = OUT / "classic.csv"
    if simple.exists():
        frame = pd.read_csv(simple)
        for method, group in frame[frame["part"] == name].groupby("method", sort=False):
            lines.append(_line(str(method), dict(zip(group["image"], group["psnr"], strict=True)), part.images, dip))
    for folder, group in own.groupby("folder") if len(own) else ():
        for title, values in _own(name, group).items():
            lines.append(
                _line(f"ours, {folder}: {title}", dict(zip(group["image"], values, strict=True)), part.images, dip)
            )
    for title, found in _together(name, own).items() if len(own) else ():
        lines.append(_line(f"ours: {title}", found, part.images, dip))
    if name.startswith("super"):
        lines += [
            "",
            "The published bicubic, LapSRN and SRResNet are of reductions by others; ours are by Pillow's Lanczos filter.",
        ]
    return "\n".join(lines) + "\n" + (_stops(own) if name.startswith("denoising") and len(own) else "")


def _own(name: str, group: pd.DataFrame) -> dict[str, list[float]]:
    """What each way of choosing hands over."""
    found = {"last": list(group["last"]), "average of outputs": list(group["average"])}
    if not name.startswith("denoising"):
        return found
    for rule in _rules(group):
        found[rule] = [row[rule]["psnr"] for row in group["rules"]]
    for at in ("at 1800", "at 3000"):
        if all(at in kept for kept in group["kept"]):
            found |= {f"{kind} {at}": [kept[at][kind] for kept in group["kept"]] for kind in ("raw", "average")}
    return found


def _together(name: str, own: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The mean of the paintings of several seeds at the published settings, by what is averaged."""
    kinds = ("average at 3000", "wmv average", "average") if name.startswith("denoising") else ("last",)
    found: dict[str, dict[str, float]] = {}
    for image in own["image"].unique():
        folders = [f for f in own.loc[own["image"] == image, "folder"] if f.startswith("paper-") and f.count("-") == 1]
        truth = PARTS[name].load(image)[0]
        for kind in kinds if len(folders) > 1 else ():
            files = [RUNS / name / folder / f"{image}-{kind}.png" for folder in folders]
            if all(path.exists() for path in files):
                mean = torch.stack([opened(path) for path in files]).mean(0)[:, : truth.shape[1]]
                found.setdefault(f"mean of {len(files)} runs, {kind}", {})[image] = PARTS[name].measure(mean, truth)
    return found


def _line(title: str, values: dict[str, float], images: tuple[str, ...], dip: tuple[float, ...]) -> str:
    cells = [f"{values[i]:.2f}" if i in values else "" for i in images]
    same = [p for i, p in zip(images, dip, strict=False) if i in values]
    mean = float(np.mean([values[i] for i in images if i in values]))
    beside = f"{np.mean(same):.2f}" if same else ""
    return f"| {title} | {len(values)} | " + " | ".join(cells) + f" | {mean:.2f} | {beside} |"


RULES = ("wmv", "emv", "wmv average", "emv average", "held out average")


def _rules(group: pd.DataFrame) -> list[str]:
    """Those that watched every run of a group."""
    return [rule for rule in RULES if all(rule in rules for rules in group["rules"])]


def stops(own: pd.DataFrame) -> list[dict[str, Any]]:
    """How far each rule stays below its run's own peak, a row a preset and rule."""
    found = []
    for folder, group in own.groupby("folder") if len(own) else ():
        for rule in _rules(group):
            kind = "average" if rule.endswith("average") else "raw"
            loss = np.array([row["peak"][kind] - row["rules"][rule]["psnr"] for _, row in group.iterrows()])
            found.append(
                {
                    "run": folder, "rule": rule, "n": len(loss),
                    "stopped by itself": sum(rule in row for row in group["stopped_by_itself"]),
                    "within 0.5 dB of its peak": int((loss <= 0.5).sum()),
                    "mean loss": round(float(loss.mean()), 2), "largest loss": round(float(loss.max()), 2),
                }
            )  # fmt: skip
    return found


def _stops(own: pd.DataFrame) -> str:
    rows = stops(own)
    lines = ["", "| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join([*lines, *("| " + " | ".join(str(v) for v in row.values()) + " |" for row in rows)]) + "\n"


def curves() -> None:
    """PSNR over steps of each part's runs that are at hand, and of F16 beside the authors' own frames."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for name in PARTS:
        files = sorted((RUNS / name).glob("*/*.npy"))
        if not files:
            continue
        figure = Figure(figsize=(9, 5))
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for k, path in enumerate(files):
            curve = np.load(path)
            axes.plot(curve[:, 0], curve[:, 1], color=f"C{k % 10}", linewidth=0.7, alpha=0.6)
            axes.plot(curve[:, 0], curve[:, 2], color=f"C{k % 10}", label=f"{path.stem} {path.parent.name}")
        if name == "denoising":
            axes.plot(list(F16_CURVE), list(F16_CURVE.values()), "k.--", label="F16, the authors' run")
        axes.set(xlabel="step", ylabel="PSNR in dB (thin: painting, thick: average)", ylim=(15, None))
        axes.legend(fontsize=6, ncols=2)
        figure.savefig(OUT / f"{name}.png", dpi=90, bbox_inches="tight")


def report() -> None:
    """Write everything anew."""
    (OUT / "table.md").write_text("\n".join(table(name) for name in PARTS))
    rows = flat()
    write_whole(OUT / "rows.csv", rows.to_csv(index=False, float_format="%.4f").encode())
    told = {"runs": summary(rows), "stops": {name: stops(rows_of(name)) for name in ("denoising", "denoising-middle")}}
    (OUT / "summary.json").write_text(json.dumps(told, indent=1) + "\n")
    curves()
