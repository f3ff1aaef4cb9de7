"""What each ingredient does: every method and ablation against the default, on the same lesions.

    python experiments/isic_paired.py        seconds, after `isic_judge.py table` for each kind; writes results/isic_paired.*

And the founding method against its foil: what the estimated loss does where there are no views. Differences in what
`isic_judge.py` measured, means over the lesions whose target is their second most likely class, with 95 % bootstrap
intervals over lesions. An oracle's are over the lesions for which it predicts the source class. The default is the mean of
its two runs (`isic_judge.py again`), which differ in nothing but rounding: the row of the second less the first says how
far chance alone moves a mean.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from shared import RESULTS, cell, command, interval, markdown, write_json

DEFAULT = "natural 0.1"
"""Of version 0.1, whose parts were left out one by one."""
AGAIN = "natural, again"
KINDS = ("comparison", "again", "ablations", "terms", "sparser", "smaller", "former", "shorter_anchor")
"""The last four: the default before it kept texture (`former`: 20 times sparse change instead, no averaging), with 10 times
sparse change instead of 2 (`sparser`), that with 1.25 times the perceptual distance (`smaller`), and with an anchor of at
least 100 steps instead of 150."""
ORACLES = ("witness (tuning)", "isic2017", "grey")
MEASURES = {
    **{f"{oracle}: flip": f"flips {oracle}" for oracle in ORACLES},
    **{f"{oracle}: gain": f"gain {oracle}" for oracle in ORACLES},
    "survives together": "survives",
    "inside_lesion": "inside the lesion",
    "lpips": "LPIPS",
    "mean_change": "mean change",
}
DIGITS = {"LPIPS": 3, "mean change": 4}


def of(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """A method's measures by image, as numbers."""
    counted = [f"{oracle}: counted" for oracle in ORACLES]
    return rows[rows["method"] == method].set_index("image")[[*MEASURES, *counted]].astype(float)


def differences(rows: pd.DataFrame, method: str, other: str = DEFAULT) -> dict[str, Any]:
    """A method minus another one, by measure."""
    first, second = of(rows, method), of(rows, other)
    if other == DEFAULT and method != AGAIN and (rows["method"] == AGAIN).any():
        second = (second + of(rows, AGAIN).loc[second.index]) / 2
    second = second.loc[first.index]
    entry: dict[str, Any] = {"method": method, "minus": other, "n": len(first)}
    for column, name in MEASURES.items():
        step = first[column] - second[column]
        if ":" in column:
            step = step[second[f"{column.split(':')[0]}: counted"] == 1]
        entry[name] = {"other": float(second[column].loc[step.index].mean()), "lesions": len(step)} | interval(step)
    return entry


def main() -> None:
    command(__doc__).parse_args()
    paths = [RESULTS / f"isic_{kind}_rows.csv" for kind in KINDS]
    rows = pd.concat([pd.read_csv(path) for path in paths if path.exists()], ignore_index=True)
    rows = rows[rows["second"]]
    entries = [differences(rows, m) for m in rows["method"].unique() if m != DEFAULT]
    entries.append(differences(rows, "regularised-dip", "dip"))
    write_json(RESULTS / "isic_paired.json", entries)
    names = list(MEASURES.values())
    table = markdown(
        ["difference", "n", *names],
        (
            [f"{e['method']} minus {e['minus']}", e["n"], *(cell(e[n], DIGITS.get(n, 2), "+") for n in names)]
            for e in entries
        ),
    )
    (RESULTS / "isic_paired.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
