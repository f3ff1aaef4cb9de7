"""Whether the classifiers agree on what must change."""

from itertools import combinations
from pathlib import Path

from cfexplain.audit.measure import column, line
from cfexplain.audit.sections import Lines, Results, section
from cfexplain.explanation.folder import load
from cfexplain.explanation.metrics.seeds import seed_agreement
from cfexplain.statistics import bootstrap_mean

MOST = 200  # Pairs of changes that are compared between two classifiers.


@section(80, "intervals", per_classifier=False)
def agreement(results: Results) -> Lines:
    """Do the classifiers agree on what must change?

    For the same image, source and target class. overlap: of the strongest tenths of the two changes (chance is about
    .05); follows: the counterfactual of one flips the other too, if that predicted the same class.
    """
    for first, second in combinations(results.classifiers, 2):
        found = [rows[rows["status"] == "found"] for rows in (results.of(first), results.of(second))]
        both = found[0].merge(found[1], on=["image_id", "source", "target"], suffixes=("", "_other"))
        both = both.sample(min(MOST, len(both)), random_state=0)
        cases = zip(both["case"], both["case_other"], strict=True)
        overlaps = [_overlap(results.folder / "cases", *pair) for pair in cases]
        yield line("overlap", f"{first}, {second}", bootstrap_mean(overlaps, both["lesion_id"]))
        for rows, one, other in ((found[0], first, second), (found[1], second, first)):
            counted = column(rows, f"oracle.{other}.counted") == 1
            follows = column(rows, f"oracle.{other}.flipped").where(counted)
            yield line("follows", f"{other} follows {one}", bootstrap_mean(follows, rows["lesion_id"]))


def _overlap(cases: Path, *names: str) -> float:
    """Of the strongest tenths of two changes of one image; NaN where the classifiers' image sizes differ."""
    first, second = (load(cases / name).edit for name in names)
    return float(seed_agreement([first, second])) if first.query.shape == second.query.shape else float("nan")
