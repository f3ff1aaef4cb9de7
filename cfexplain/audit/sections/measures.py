"""Outcomes, the quality of classifier and estimator, and how large, where, how different and how shared changes are."""

from itertools import combinations
from pathlib import Path

import pandas as pd

from cfexplain.audit.measure import FEWEST, STATISTICS, VERDICTS, column, correct, line, measure, values
from cfexplain.audit.region import PLACES
from cfexplain.audit.sections import Lines, Results, section
from cfexplain.explanation.folder import load
from cfexplain.explanation.metrics.seeds import seed_agreement
from cfexplain.statistics import bootstrap_mean

COMPARED = ("mean_change", "semantic", "robust", "oracle_agreement", "inside_lesion", "naturalness")
MOST = 200  # Pairs of changes that are compared between two classifiers.


@section(10, "intervals", per_classifier=False)
def outcomes(results: Results) -> Lines:
    """How often is the prediction flipped, and do independent classifiers confirm it?

    found counts failures in the denominator. semantic, unconfirmed, fragile and adversarial are verdicts. robust (to a
    shift, blur, resizing and JPEG together) and oracle_agreement are means over the found ones.
    """
    return results.measures(("found", *VERDICTS, "robust", "oracle_agreement", "failed"))


@section(20, "intervals", per_classifier=False)
def quality(results: Results) -> Lines:
    """How good is the classifier?

    Of the labelled images: accuracy, its mean over classes, calibration error (ten bins of equal count, less what
    chance yields), and how well the estimated loss ranks the true one (Spearman) and separates errors from right
    predictions (AUROC).
    """
    return results.measures(("accuracy", *STATISTICS))


@section(30, "matrix")
def effort(rows: pd.DataFrame) -> Lines:
    """How small a change flips the prediction?

    Mean absolute change of a pixel over the counterfactuals found, whatever their verdict, from the predicted to the
    target class: the smaller, the closer two classes are for this classifier and method; with an interval from ten
    lesions on.
    """
    for (source, target), pair in rows[rows["status"] == "found"].groupby(["source", "target"]):
        interval = vars(bootstrap_mean(values(pair, "mean_change"), pair["lesion_id"]))
        few = pair["lesion_id"].nunique() < FEWEST
        yield {"from": source, "to": target} | interval | ({"low": None, "high": None} if few else {})


@section(40, "intervals", per_classifier=False)
def places(results: Results) -> Lines:
    """Where is the change, and which region causes the flip?

    Change: share of its energy. Effect: share of the flip that the change in this region causes alone; effects need
    not add up to 1. The border is a band around the outline, a tenth of the side wide.
    """
    for name, group in (("change", "place"), ("area", "area"), ("effect", "effect")):
        for classifier in results.classifiers:
            rows = results.of(classifier)
            for place in PLACES:
                interval = bootstrap_mean(column(rows, f"{group}.{place}"), rows["lesion_id"])
                yield from [line(name, f"{classifier}: {place}", interval)] if interval.n else []


@section(70, "intervals")
def right_and_wrong(rows: pd.DataFrame) -> Lines:
    """Do explanations of wrong predictions differ?"""
    right = correct(rows)
    for group, chosen in (("right", rows[right == 1]), ("wrong", rows[right == 0])):
        lines = [line(name, group, measure(chosen, name)) for name in COMPARED]
        yield from (line for line in lines if line["n"])


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
        overlaps = [_overlap(results.folder / "cases", *pair) for pair in both[["case", "case_other"]].to_numpy()]
        yield line("overlap", f"{first}, {second}", bootstrap_mean(overlaps, both["lesion_id"]))
        for rows, one, other in ((found[0], first, second), (found[1], second, first)):
            counted = column(rows, f"oracle.{other}.counted") == 1
            follows = column(rows, f"oracle.{other}.flipped").where(counted)
            yield line("follows", f"{other} follows {one}", bootstrap_mean(follows, rows["lesion_id"]))


def _overlap(cases: Path, *names: str) -> float:
    """Of the strongest tenths of two changes of one image; NaN where the classifiers' image sizes differ."""
    first, second = (load(cases / name).edit for name in names)
    return float(seed_agreement([first, second])) if first.query.shape == second.query.shape else float("nan")
