"""What does the faster method cost? The study's first 50 lesions by the default and by `natural-warm`, paired.

    python experiments/benchmarks/warm_or_cold.py            seconds; writes results/benchmarks/warm_or_cold.*

Rows are those of `isic_judge.py`. Differences are means over lesions with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse

import pandas as pd
from machine import RESULTS, keep, manifest

FIRST = 50
MEASURES = {
    "lpips": "LPIPS", "inside_lesion": "inside the lesion", "survives together": "survives",
    "witness (tuning): gain": "witness: gain", "isic2017: gain": "isic2017: gain", "grey: gain": "grey: gain",
    "witness (tuning): flip": "witness: flips", "isic2017: flip": "isic2017: flips", "grey: flip": "grey: flips",
}  # fmt: skip


def rows(method: str) -> pd.DataFrame:
    """A method's rows of the first lesions, by image."""
    table = pd.read_csv(RESULTS / "isic_comparison_rows.csv")
    first = [lesion.id for lesion in manifest()[:FIRST]]
    chosen = table[(table["method"] == method) & table["second"] & table["image"].isin(first)]
    return chosen.set_index("image").reindex(first)


def main() -> None:
    from isic_judge import interval  # after `machine`, which says where the studies are

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    before, after = rows("natural"), rows("natural-warm")
    found = []
    for column, name in MEASURES.items():
        oracle = column.split(":")[0]
        counted = before[f"{oracle}: counted"].astype(bool) if ":" in column else pd.Series(True, before.index)
        pair = pd.DataFrame({"old": before[column], "new": after[column]}).astype(float)[counted].dropna()
        step = interval(pair.assign(step=pair["new"] - pair["old"]), "step")
        found.append(
            {
                "measure": name,
                "n": len(pair),
                "natural": round(pair["old"].mean(), 3),
                "natural-warm": round(pair["new"].mean(), 3),
                "difference": f"{step['mean']:+.3f} [{step['low']:+.3f}, {step['high']:+.3f}]",
            }
        )
    keep("warm_or_cold", found)


if __name__ == "__main__":
    main()
