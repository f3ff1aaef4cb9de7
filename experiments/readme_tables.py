"""Write the measured tables into README and docs/measured.md, from the model cards and the studies' results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "classifiers" / "cfexplain_classifiers" / "shipped"
AUDIT = ROOT / "experiments" / "results" / "audit"
AUDITS = {
    "`ham10000` on HAM10000 test images": AUDIT / "ham10000.json",
    "`ham10000` on ISIC 2017 test images": AUDIT / "isic2017.json",
    "a classifier trained with ink beside melanomas": AUDIT.parent / "planted_shortcut" / "summary.json",
    "the clean `ham10000` on 60 of these marked images": AUDIT.parent / "planted_shortcut" / "control.json",
}
ATTRIBUTION = ROOT / "experiments" / "results" / "attribution" / "attribution.json"
COMPARISON = ROOT / "experiments" / "results" / "isic_comparison.json"
SURE = COMPARISON.parent / "sure_real.json"
EQUAL = COMPARISON.parent / "isic_equal.json"
ORACLES = ("witness (tuning)", "isic2017", "grey")
AGAIN = COMPARISON.parent / "isic_again.json"
PAIRED = COMPARISON.parent / "isic_paired.json"
BENCHMARKS = COMPARISON.parent / "benchmarks"
RESTORATION = COMPARISON.parent / "restoration" / "summary.json"
TASKS = {
    "denoising": "noise, sigma 25",
    "inpainting": "every second pixel",
    "superresolution": "four times larger",
    "superresolution14": "four times larger (Set14)",
    "superresolution8": "eight times larger",
    "superresolution8of14": "eight times larger (Set14)",
}
NAMES = {"hill": "House", "house": "House, grey"}
SETTINGS = {
    "paper": "published", "paper16": "published, in bfloat16", "paper16-ones": "published, in bfloat16, gains of 1", "fast": "fast",
}  # fmt: skip


JUDGED = """\
Counterfactuals of HAM10000 test lesions on a list fixed beforehand (all melanomas, and of the other classes a share), judged by
classifiers that no method sees (`experiments/isic_comparison.py`, `isic_judge.py`). The classifier explained is a MobileNetV2; the
oracles are SqueezeNets (`experiments/oracles/`): `grey` learned from grey pictures, `isic2017` from another data set, of which it
knows melanoma, nevus and seborrheic keratosis, taken for `bkl` (it is not the shipped classifier of that name). The default's
weights were tried on validation lesions with `witness` at hand, but see the four candidates in `docs/measured.md`. `natural` paints until the
target has .97 on average over views, and keeps .98 of what it reached; `dip`, `regularised-dip` and `tv` stop at .85 of the
plain picture. What it is with less is said below the table; `--confidence` asks for less from the start."""


def classifiers() -> list[str]:
    """One line a shipped classifier."""
    lines = [
        "The shipped classifiers on their test splits (`ECE`: calibration error after temperature scaling):",
        "",
        "| classifier | test images | balanced accuracy | macro AUROC | ECE | estimator Spearman | misclassification AUROC:"
        " estimator, max-softmax, combined | out-of-distribution AUROC: estimator, max-softmax |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(SHIPPED.glob("*.json")):
        m = json.loads(path.read_text())["metrics"]
        c, e, wrong, away = m["classifier"], m["estimator"], m["misclassification"], m["out_of_distribution"]["mean"]
        lines.append(
            f"| `{path.stem}` | {m['n']} | {c['balanced_accuracy']:.3f} | {c['macro_auroc']:.3f} | {c['ece']:.3f} | "
            f"{e['spearman']:.3f} | {wrong['estimator']:.3f}, {wrong['max_softmax']:.3f}, {wrong['combined']:.3f} | "
            f"{away['estimator']:.3f}, {away['max_softmax']:.3f} |"
        )
    return lines


def comparison() -> list[str]:
    """One line a method: how many flips independent classifiers share, where the change lies, how large it is."""
    entries = json.loads(COMPARISON.read_text())
    names = list(entries[0]["oracles"])
    lines = [
        f"| method | found | {' | '.join(f'`{n}` flips' for n in names)} | nevus to melanoma | survives | "
        "inside the lesion | LPIPS | change, mean |",
        "|" + "---|" * (7 + len(names)),
    ]
    for e in entries:
        flips = " | ".join(f"{f['flip']:.2f} [{f['low']:.2f}, {f['high']:.2f}]" for f in e["oracles"].values())
        hard = ", ".join(f"{f['flip']:.2f}" for f in e["hard_oracles"].values())
        lines.append(
            f"| `{e['method']}` | {e['found']:.2f} | {flips} | {hard} | {e['survives']:.2f} | {e['inside_lesion']:.2f} | "
            f"{e['lpips']:.3f} | {e['l1_anchor']:.3f} |"
        )
    real = json.loads(SURE.read_text())
    for sure, said in ((0.5, "at least .5"), (0.9, "at least .9")):
        cells = " | ".join(interval(real[f"{n}, sure {sure}"], "agreement") for n in names)
        lines.append(f"| *real images given the target class with {said}* | | {cells} | | | | | |")
    second = json.loads(AGAIN.read_text())[0]
    again = ", ".join(f"{f['flip']:.2f}" for f in second["oracles"].values())
    counts = ", ".join(f"{f['n']} ({n})" for n, f in entries[0]["oracles"].items())
    hards = ", ".join(str(f["n"]) for f in entries[0]["hard_oracles"].values())
    lines += [
        "",
        f"n = {entries[0]['n']} lesions asked for the second most likely class, failures counted; flips over the lesions of "
        f"which the oracle itself sees the source class: {counts}, with 95 % Wilson intervals; nevus to melanoma over "
        f"{hards} lesions, the oracles in the same order, these and others of the list that were asked it besides; survives: "
        f"a shift, blur, resizing and JPEG one after another; the lesion covers {entries[0]['area']:.2f} of the picture; "
        "inside: of the squared change. A second run of `natural`, same settings and seed on another machine, flips "
        f"{again}: such is chance. Last rows: how often the oracle sees the target class in real test images to which the "
        "classifier gives it (classes in the same shares, 95 % bootstrap intervals; of melanomas 99 and 4).",
    ]
    return [*lines, "", shrunk(), "", other_target(second, next(e for e in entries if e["method"] == "dip"))]


def other_target(natural: dict[str, Any], dip: dict[str, Any]) -> str:
    """What is reached of the second target of every lesion."""

    def followed(entry: dict[str, Any]) -> str:
        return ", ".join(f"{f['flip']:.2f}" for f in entry["melanoma_oracles"].values())

    return (
        f"Asked for melanoma instead, and of melanomas for nevus (second run, {natural['melanoma_n']} lesions): found "
        f"{natural['melanoma_found']:.2f}, followed by the three in the same order {followed(natural)}; `dip` found "
        f"{dip['melanoma_found']:.2f} of {dip['melanoma_n']}, followed {followed(dip)}."
    )


def shrunk() -> str:
    """The default's change against that of plain DIP, where it is made to reach no more than that."""
    told = json.loads(EQUAL.read_text())

    def pair(until: str, name: str, digits: int) -> str:
        return f"{told[until][name]['natural']:.{digits}f} (`dip` {told[until][name]['dip']:.{digits}f})"

    def followed(until: str) -> str:
        return ", ".join(f"`{name}` {pair(until, name, 2)}" for name in ORACLES)

    flips, sure = "it flips", "it is as sure"
    return (
        "The change of `natural` shrunk lesion by lesion (`isic_judge.py equal`): until it just flips the explained classifier, its mean "
        f"is {pair(flips, 'l1', 4)} and its LPIPS {pair(flips, 'lpips', 3)}, and others follow about as often: {followed(flips)}. Until it is as "
        f"sure there as `dip` is, its mean is {pair(sure, 'l1', 4)} and its LPIPS {pair(sure, 'lpips', 3)}, larger, and others follow "
        f"far more often: {followed(sure)}."
    )


def ablations() -> list[str]:
    """One line an ingredient left out, or a method: what it changes on the same lesions."""
    measures = {
        "flips witness (tuning)": 2, "flips isic2017": 2, "flips grey": 2, "survives": 2, "inside the lesion": 2, "LPIPS": 3,
    }  # fmt: skip
    lines = ["| difference | n | " + " | ".join(measures) + " |", "|" + "---|" * (2 + len(measures))]
    for e in json.loads(PAIRED.read_text()):
        cells = [f"{e[m]['mean']:+.{d}f} [{e[m]['low']:+.{d}f}, {e[m]['high']:+.{d}f}]" for m, d in measures.items()]
        lines.append(f"| `{e['method']}` − `{e['minus']}` | {e['n']} | {' | '.join(cells)} |")
    counted = {e["n"]: ", ".join(str(e[m]["lesions"]) for m in list(measures)[:3]) for e in json.loads(PAIRED.read_text())}
    told = "; ".join(f"{count} of {n}" for n, count in sorted(counted.items(), reverse=True))
    return [
        *lines, "",
        "`natural` is the mean of its two runs, of which the row of the second less the first says what chance does. Flips are "
        f"over the lesions of which each oracle sees the source class: {told}. So many differences share one default: read no "
        "single interval that ends near 0 as an effect.",
    ]  # fmt: skip


def attribution() -> list[str]:
    """One line an attribution method: what it shares with the change, what its pixels do, whether it finds a cause."""
    record = json.loads(ATTRIBUTION.read_text())
    real = {(r["method"], r["measure"]): r for r in record["isic"]["methods"]}
    cause = {r["method"]: r for r in record["synthetic"]["cause"] if r["measure"] == "cause_auroc"}
    measures = ("rank_correlation", "top_overlap", "energy_inside", "cout", "sufficiency", "necessity")
    lines = [
        "| map | rank correlation with the change | overlap of top tenths | inside the lesion | COUT | share of the map "
        "that suffices to flip | share that is necessary | known cause (synthetic), AUROC |",
        "|" + "---|" * 8,
    ]
    for name in dict.fromkeys(method for method, _ in real):
        cells = [f"{real[name, m]['mean']:.2f}" for m in measures]
        lines.append(f"| {name} | {' | '.join(cells)} | {interval(cause.get(name))} |")
    lines += [
        "",
        f"n = {record['isic']['lesions']} ISIC test lesions and {record['synthetic']['lesions']} synthetic ones whose cause "
        f"is known; edges and random are references that know no model. {_beyond(record)}",
    ]
    return lines


def _beyond(record: dict[str, Any]) -> str:
    """Which methods are better than an edge filter, and in what."""

    def better(part: str, measure: str) -> list[str]:
        rows = [r for r in record[part]["beyond_edges"] if r["measure"] == measure and r["low"] > 0]
        return [r["method"] for r in rows if "counterfactual" not in r["method"]]

    def listed(names: list[str]) -> str:
        return ", ".join(f"`{n}`" for n in names) or "no method"

    return (
        "Better than the edges alone (paired 95 % intervals above 0, maps from the counterfactual left out): at finding the "
        f"known cause {listed(better('synthetic', 'cause_auroc'))}; in rank correlation {listed(better('isic', 'rank_correlation'))}; "
        f"by swapped pixels (COUT: the target's less the source's probability on the way) {listed(better('isic', 'cout'))}. Changes, maps and causes all lie on edges: read the columns of "
        "swapped pixels, the others mostly say where edges are."
    )


def speed() -> list[str]:
    """One line a size: an explanation against the published settings on the same machine."""
    record = json.loads((BENCHMARKS / "one_lesion.json").read_text())
    lines = [
        "| pixels | published settings | method | `explain` | times faster | found | anchor | peak memory |",
        "|" + "---|" * 8,
    ]
    for r in record["rows"]:
        for method in filter(r.get, ("natural", "natural-warm")):
            mine, plain = r[method], r["reference"]["seconds"]
            lines.append(
                f"| {r['size']} | {plain:.0f} s | `{method}` | {mine['seconds']:.1f} s | {plain / mine['seconds']:.0f} | "
                f"{mine['found']} of {mine['n']} | {mine['anchor_psnr']:.1f} dB | {mine['peak_gib']:.2f} GiB |"
            )
    where = record["machine"]
    seen = f"Seen on {where['cores']} cores of an {where['processor']} with torch {where['torch']}."
    return [*lines, "", f"{seen} {together()} {side_by_side()} {in_time()}"]


def together() -> str:
    """What batches bring."""
    rows = json.loads((BENCHMARKS / "throughput_cpu.json").read_text())["rows"]
    told = []
    for size in dict.fromkeys(r["pixels"] for r in rows):
        one, *more = (r for r in rows if r["pixels"] == size)
        best = max(more, key=lambda r: float(r["images a second"]))
        told.append(
            f"{one['images a second']:.2f} a second one by one and {best['images a second']:.2f} by {best['batch']} "
            f"({best['peak memory, GiB']:.1f} GiB) at {size} pixels"
        )
    return f"Without a GPU batches pay little at 64 pixels and cost at 128: `natural` explains {'; '.join(told)}."


def side_by_side() -> str:
    """What a process on each core brings."""
    told = json.loads((BENCHMARKS / "audit_time.json").read_text())
    cores, images = told["machine"]["cores"], told["rows"][0]["images"]
    return f"A process on each of the {cores} cores audits {images} images {told['times_faster']:.1f} times as fast as one process on both."


def in_time() -> str:
    """What a budget of seconds buys."""
    rows = json.loads((BENCHMARKS / "budget.json").read_text())["rows"]
    told = [f"{r['budget, s']:g} s: {r['found']} of {r['n']}, {r['sure over views']:.2f}" for r in rows]
    return (
        "With `budget=` seconds at 128 pixels, found, and the target's mean probability over fresh views: "
        f"{'; '.join(told)}. By eye, what 2 s and less find are patches of colour rather than a lesion's change."
    )


def audits() -> list[str]:
    """One line an audit, and what an audit promises."""
    lines = [
        "| audit of | rows | accuracy | found | semantic | survives | believed by `witness` | shortcut suspects: share of the "
        "change of mind that an artefact's place brings by itself |",
        "|" + "---|" * 8,
    ]
    for title, path in AUDITS.items():
        if not path.exists():
            continue
        summary = json.loads(path.read_text())
        tables = {s["key"]: s["rows"] for s in summary["sections"]}
        said = {r["measure"]: r for key in ("outcomes", "quality") for r in tables.get(key, [])}
        if "believed" not in said:
            said.pop("semantic", None)  # without an oracle nothing can be called so
        shown = [interval(said.get(name)) for name in ("accuracy", "found", "semantic", "survives", "believed")]
        beyond = [s for s in tables["suspects"] if s["low"] > 0.005]  # more than chance, and than 0.00
        ranked = ", ".join(f"{s['suspect'].replace('_', ' ')} {interval(s, 'excess')}" for s in beyond) or "none"
        lines.append(f"| {title} | {summary['facts']['rows']} | {' | '.join([*shown, ranked])} |")
    record = json.loads((AUDIT / "audit.json").read_text())
    kills, memory = record.get("kills"), record.get("memory")
    cost = record.get("projection")
    told = ["Means with 95 % bootstrap intervals over lesions."]
    if kills:
        told.append(
            f"Killed {kills['kills']} times at random, an audit lost {kills['lost']} and doubled {kills['doubled']} of "
            f"{kills['rows']} rows."
        )
    if memory:
        told.append(
            "Memory grew by "
            + ", and by ".join(f"{m['growth_mib']:.0f} MiB over {m['images']} {k}" for k, m in memory.items())
            + "."
        )
    if cost:
        told.append(
            f"At {cost['seconds_a_row']:.0f} s a row on one busy core, the ISIC archive's {cost['images']:,} images would take "
            f"{cost['hours_by_workers']['256']:.0f} hours on 256 cores."
        )
    return [*lines, "", " ".join(told)]


def restoration() -> list[str]:
    """One line a run: what it hands over, and what was published for the same picture."""
    lines = [
        "| task | picture | settings | handed over | PSNR | peak | published DIP | others, published | minutes on busy cores |",
        "|" + "---|" * 9,
    ]
    told = json.loads(RESTORATION.read_text())
    for r in told["runs"]:
        if r["part"] not in TASKS:
            continue
        dip = next((v for k, v in r["published"].items() if k.startswith("DIP")), None)
        others = [f"{k.split(',')[0]} {v:.1f}" for k, v in r["published"].items() if not k.startswith("DIP")]
        minutes = f"{r['seconds'] / 60:.3g} on {r['threads']:.0f}"
        for handed, (psnr, peak) in r["psnr_and_peak"].items():
            lines.append(
                f"| {TASKS[r['part']]} | {NAMES.get(r['image'], r['image'])} | {SETTINGS[r['preset']]} | {handed} | {psnr:.2f} | "
                f"{peak:.2f} | {'' if dip is None else f'{dip:.2f}'} | {', '.join(others)} | {minutes} |"
            )
    stops = {row["rule"]: row for row in told["stops"]["denoising-middle"] if row["run"] == "fast-0"}
    held, raw, average = (stops[rule] for rule in ("held out average", "wmv", "wmv average"))
    near = "within 0.5 dB of its peak"
    early = (
        f"When to stop, on the middle 256 pixels of the {held['n']} noisy pictures (fast preset, until all rules have stopped): the average "
        f"that pixels held out choose (`--stop held-out`) is within .5 dB of the run's own peak on {held[near]}, with a mean loss of "
        f"{held['mean loss']:.2f} and a largest of {held['largest loss']:.2f} dB; the painting that ES-WMV chooses on {raw[near]} "
        f"({raw['mean loss']:.2f}, {raw['largest loss']:.2f}), the average at its step on {average[near]} "
        f"({average['mean loss']:.2f}, {average['largest loss']:.2f})."
    )
    return [*lines, "", early]


def interval(row: dict[str, float] | None, name: str = "mean") -> str:
    """A mean and its interval."""
    return "" if row is None else f"{row[name]:.2f} [{row['low']:.2f}, {row['high']:.2f}]".replace("-0.00", "0.00")


def main() -> None:
    texts = {
        "measured": [JUDGED, "", *comparison()],
        "classifiers": classifiers(),
        "ablations": ablations(),
        "attribution": attribution(),
        "audit": audits(),
        "speed": speed(),
        "restoration": restoration(),
    }
    for name, said in texts.items():
        write(name, said if isinstance(said, str) else "\n".join(said))


def write(name: str, text: str) -> None:
    """Put a text between its marks, in whichever page has them."""
    path = next(p for p in (ROOT / "README.md", ROOT / "docs" / "measured.md") if f"<!-- {name} -->" in p.read_text())
    marked = f"<!-- {name} -->\n{text}\n<!-- /{name} -->"
    pattern = rf"<!-- {name} -->(.*?<!-- /{name} -->)?"
    path.write_text(re.sub(pattern, lambda _: marked, path.read_text(), count=1, flags=re.DOTALL))


if __name__ == "__main__":
    main()
