"""What each ingredient does: every method and ablation against the default, on the same lesions.

    python experiments/isic_paired.py        seconds, after `isic_judge.py table` for each kind; writes results/isic_paired.*

And the founding method against its foil: what the estimated loss does where there are no views. Differences in what
`isic_judge.py` measured, means over the lesions asked for their second most likely class, with 95 % bootstrap
intervals over lesions. An oracle's are over the lesions of which it sees the source class. The default is the mean of
its two runs (`isic_judge.py again`), which differ in nothing but rounding: the row of the second less the first says how
far chance alone moves a mean.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import pandas as pd
from isic_comparison import RESULTS
from isic_judge import interval

DEFAULT = "natural"
AGAIN = "natural, again"
KINDS = ("comparison", "again", "ablations", "terms", "sparser", "smaller", "former", "shorter_anchor")
"""Also kept: rows of the default until it kept texture (20 times sparse change instead, and one painting shown), with 10 times
sparse change instead of 2 (sparser), that with 1.25 times the perceptual distance (smaller), and with an anchor of at least 100 steps
instead of 150."""
ORACLES = ("witness (tuning)", "isic2017", "grey")
MEASURES = {
    **{f"{oracle}: flip": f"flips {oracle}" for oracle in ORACLES},
    **{f"{oracle}: gain": f"gain {oracle}" for oracle in ORACLES},
    "survives together": "survives",
    "inside_lesion": "inside the lesion",
    "lpips": "LPIPS",
    "mean_change": "mean change",
}


def read() -> pd.DataFrame:
    """All rows asked for the second most likely class."""
    paths = [RESULTS / f"isic_{kind}_rows.csv" for kind in KINDS]
    rows = pd.concat([pd.read_csv(path) for path in paths if path.exists()], ignore_index=True)
    return rows[rows["second"]]


def one(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """What is measured of a method's images, as numbers."""
    counted = [f"{oracle}: counted" for oracle in ORACLES]
    return rows[rows["method"] == method].set_index("image")[[*MEASURES, *counted]].astype(float)


def differences(rows: pd.DataFrame, method: str, other: str = DEFAULT) -> dict[str, Any]:
    """A method minus another one, by measure."""
    theirs, default = one(rows, method), one(rows, other)
    if other == DEFAULT and method != AGAIN and (rows["method"] == AGAIN).any():
        default = (default + one(rows, AGAIN).loc[default.index]) / 2
    default = default.loc[theirs.index]
    entry: dict[str, Any] = {"method": method, "minus": other, "n": len(theirs)}
    for column, name in MEASURES.items():
        step = theirs[column].astype(float) - default[column].astype(float)
        if ":" in column:
            step = step[default[f"{column.split(':')[0]}: counted"] == 1]
        entry[name] = {"other": float(default[column].loc[step.index].mean()), "lesions": len(step)} | interval(
            step.to_frame("step"), "step"
        )
    return entry


def table(entries: list[dict[str, Any]]) -> str:
    """The entries as Markdown."""
    names = list(MEASURES.values())
    lines = ["| difference | n | " + " | ".join(names) + " |", "|" + "---|" * (2 + len(names))]
    for e in entries:
        digits = {n: 4 if n == "mean change" else 3 if n == "LPIPS" else 2 for n in names}
        cells = [f"{e[n]['mean']:+.{d}f} [{e[n]['low']:+.{d}f}, {e[n]['high']:+.{d}f}]" for n, d in digits.items()]
        lines.append(f"| {e['method']} minus {e['minus']} | {e['n']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = read()
    others = [m for m in rows["method"].unique() if m != DEFAULT]
    entries = [differences(rows, m) for m in others]
    entries.append(differences(rows, "regularised-dip", "dip"))
    (RESULTS / "isic_paired.json").write_text(json.dumps(entries, indent=1) + "\n")
    (RESULTS / "isic_paired.md").write_text(table(entries))
    print(table(entries))


if __name__ == "__main__":
    main()
