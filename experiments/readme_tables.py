"""Write the measured tables into README, from the model cards and the studies' results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "classifiers" / "cfexplain_classifiers" / "shipped"
TWENTY = ROOT / "experiments" / "results" / "twenty_lesions" / "rows.csv"


def classifiers() -> list[str]:
    """One line a shipped classifier."""
    lines = [
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


def twenty() -> list[str]:
    """One line a method, over the lesions that were not already the target."""
    rows = pd.read_csv(TWENTY)
    lines = [
        "| method | n | found | p of the target | change, mean | pixels changed visibly | inside the lesion | "
        "witness flips | witness gain | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for method in rows["method"].unique():
        asked = rows[(rows["method"] == method) & (rows["status"] != "already_target")]
        mean = asked.mean(numeric_only=True)
        lines.append(
            f"| `{method}` | {len(asked)} | {mean['flipped']:.2f} | {mean['p_target']:.2f} | {mean['mean_change']:.3f} | "
            f"{mean['changed_share']:.2f} | {mean['inside_lesion']:.2f} | {mean['witness_flip']:.2f} | "
            f"{mean['witness_gain']:+.2f} | {asked['seconds'].median():.1f} |"
        )
    return lines


def main() -> None:
    text = (
        "The shipped classifiers on their test splits (`ECE`: calibration error after temperature scaling):\n\n"
        + "\n".join(classifiers())
        + "\n\nTwenty test lesions of HAM10000, ten nevi to melanoma and ten melanomas to nevus, on a list fixed beforehand"
        + " (`experiments/twenty_lesions.py`;\nfive were already seen as the target and are left out of n; failures count; `witness` is a classifier of another architecture that no"
        + " method sees; median seconds on one core):\n\n"
        + "\n".join(twenty())
    )
    path = ROOT / "README.md"
    marked = f"<!-- measured -->\n{text}\n<!-- /measured -->"
    old = path.read_text()
    pattern = r"<!-- measured -->(.*?<!-- /measured -->)?"
    path.write_text(re.sub(pattern, lambda _: marked, old, count=1, flags=re.DOTALL))


if __name__ == "__main__":
    main()
