"""What the rows say, question after question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cfexplain.audit.interval import mean_of
from cfexplain.audit.measure import FEWEST, STATISTICS, VALUES, column, correct, measure, one_an_image
from cfexplain.audit.region import PLACES
from cfexplain.audit.rule import Rule
from cfexplain.audit.section import Section, Summary
from cfexplain.audit.slices import gaps, slices
from cfexplain.audit.suspect import suspect_cases, suspects
from cfexplain.explanation.folder import load
from cfexplain.explanation.metrics.seeds import seed_agreement
from cfexplain.types import Classifier

if TYPE_CHECKING:
    from cfexplain.audit.interval import Interval

QUALITY = ("accuracy", *STATISTICS)
OUTCOMES = ("found", "semantic", "unconfirmed", "fragile", "adversarial", "robust", "oracle_agreement", "failed")
EXPLAINED = ("mean_change", "semantic", "robust", "oracle_agreement", "inside_lesion", "naturalness")
REVIEWED = 24
COMPARED = 200
"""Pairs of changes that are compared between two classifiers, at most."""


def summarise(
    rows: pd.DataFrame,
    folder: Path,
    classifiers: Mapping[str, Classifier] | Sequence[str],
    facts: Mapping[str, str],
    rules: Sequence[Rule] = (),
    data: Section | None = None,
) -> Summary:
    """All sections and checks of an audit's rows.

    Args:
        rows: of `read_rows`.
        folder: the audit's, for the changes themselves.
        classifiers: their names.
        facts: of the run.
        rules: what must not hold, for each classifier.
        data: what is to be said of the data first.
    """
    by_name = {name: rows[rows["classifier"] == name] for name in classifiers}
    checks = [rule.check(own, name) for rule in rules for name, own in by_name.items()]
    told = {"rows": str(len(rows)), "seconds of all rows": f"{column(rows, 'seconds').sum():.0f}"}
    sections = [*([] if data is None else [data]), *(_sections(rows, by_name, folder) if len(rows) else ())]
    return Summary(dict(facts) | told, tuple(checks), tuple(s for s in sections if len(s.frame)))


def _sections(rows: pd.DataFrame, by_name: Mapping[str, pd.DataFrame], folder: Path) -> Iterator[Section]:
    yield Section(
        "outcomes",
        "Can its mind be changed, and does anybody else see why?",
        "found counts failures in the denominator. semantic, unconfirmed, fragile and adversarial are verdicts. robust "
        "(to a shift, blur, resizing and JPEG together) and oracle_agreement are means over the found ones.",
        "intervals",
        _by_classifier(by_name, OUTCOMES),
    )
    yield Section(
        "quality",
        "How good is it?",
        "Of the labelled images: accuracy, its mean over classes, calibration error (ten bins of "
        "equal count, less what chance makes), and how well the estimated loss ranks the true one (Spearman) and tells "
        "errors from right answers (AUROC).",
        "intervals",
        _by_classifier(by_name, QUALITY),
    )
    yield Section(
        "effort",
        "How little flips it?",
        "Mean absolute change of a pixel in the counterfactuals found, whatever their verdict, from the class "
        "predicted to the class asked for: the smaller, the nearer two classes lie for this classifier and method; an "
        "interval from ten lesions on.",
        "matrix",
        _effort(by_name),
    )
    yield Section(
        "places",
        "Where does the change lie, and which place does it?",
        "Change: share of its energy. Effect: share of the change of mind that the change in this place brings alone; "
        "effects need not add up to 1. Border is a band of a tenth of the side around the outline.",
        "intervals",
        _places(by_name),
    )
    ranked = {name: suspects(own) for name, own in by_name.items()}
    yield Section(
        "suspects",
        "Shortcut suspects",
        "Artefacts ranked by the share of the change of mind that the change on them brings alone, beyond what the "
        "same mask turned by half a turn brings; the mean counts 0 where the artefact takes no part. They are found "
        "by image processing and are sometimes missed or mistaken: look at the cases.",
        "table",
        _named(ranked),
    )
    yield Section(
        "suspect_cases",
        "Shortcut suspects: the strongest cases",
        "",
        "cases",
        _named({n: suspect_cases(own, [s["suspect"] for s in ranked[n]][:3]) for n, own in by_name.items()}),
    )
    yield Section(
        "gaps",
        "For whom is it worse?",
        "Each group's mean less that of all images of other groups, with an interval; groups of at least ten lesions; "
        "accuracy at equal mix of classes. Many groups are compared: one in twenty intervals leaves out 0 by chance.",
        "table",
        _named({name: gaps(own) for name, own in by_name.items()}),
    )
    groups = {name: list(slices(own)) for name, own in by_name.items()}
    yield Section("slices", "Every group", "", "intervals", _named(groups))
    yield Section(
        "right_and_wrong",
        "Are explanations of wrong predictions another kind?",
        "",
        "intervals",
        _named({name: list(_right_and_wrong(own)) for name, own in by_name.items()}),
    )
    yield Section(
        "agreement",
        "Do the classifiers agree on what must change?",
        "Of the same question to both. Overlap: of the strongest tenths of the two changes (chance is about .05); "
        "follows: the one's counterfactual flips the other too, where that had seen the same class.",
        "intervals",
        pd.DataFrame(_agreement(rows, by_name, folder)),
    )
    yield Section(
        "review",
        "Cases a person should look at",
        "Nearest to the boundary: the two most likely classes are closest. Wrong and sure: labelled otherwise, by the "
        "highest confidence. Adversarial: flipped by what no one else sees, the smallest change first.",
        "cases",
        _named({name: list(_review(own)) for name, own in by_name.items()}),
    )
    yield Section(
        "failures",
        "Images that could not be answered",
        "",
        "table",
        rows.loc[rows["status"] == "failed", [c for c in ("image_id", "classifier", "error") if c in rows]],
    )


def _by_classifier(by_name: Mapping[str, pd.DataFrame], measures: Sequence[str]) -> pd.DataFrame:
    """Each measure of each classifier; what is not known of any is left out."""
    rows = [_line(what, name, measure(own, what)) for what in measures for name, own in by_name.items()]
    return pd.DataFrame([row for row in rows if row["n"] > 0 and row["mean"] == row["mean"]])


def _line(what: str, group: str, interval: Interval) -> dict[str, Any]:
    return {"measure": what, "group": group} | interval.to_dict()


def _named(tables: Mapping[str, list[dict[str, Any]]]) -> pd.DataFrame:
    """Tables of several classifiers as one; of one, as it is."""
    alone = len(tables) == 1
    return pd.DataFrame([row if alone else {"classifier": name} | row for name, own in tables.items() for row in own])


def _effort(by_name: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    def lines(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
        found = rows[rows["status"] == "found"]
        for (source, target), own in found.groupby(["source", "target"]):
            interval = mean_of(VALUES["mean_change"](own), own["lesion_id"]).to_dict()
            few = own["lesion_id"].nunique() < FEWEST
            yield {"from": source, "to": target} | interval | ({"low": None, "high": None} if few else {})

    return _named({name: list(lines(own)) for name, own in by_name.items()})


def _places(by_name: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    rows = [
        _line(what, f"{name}: {place}", mean_of(column(own, f"{prefix}.{place}"), own["lesion_id"]))
        for what, prefix in (("change", "place"), ("area", "area"), ("effect", "effect"))
        for name, own in by_name.items()
        for place in PLACES
    ]
    return pd.DataFrame([row for row in rows if row["n"] > 0])


def _right_and_wrong(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    right = correct(rows)
    for group, chosen in (("right", right == 1), ("wrong", right == 0)):
        for what in EXPLAINED:
            interval = measure(rows[chosen], what)
            if interval.n:
                yield _line(what, group, interval)


def _agreement(rows: pd.DataFrame, by_name: Mapping[str, pd.DataFrame], folder: Path) -> Iterator[dict[str, Any]]:
    for first, second in combinations(by_name, 2):
        pairs = by_name[first].merge(by_name[second], on=["image_id", "source", "target"], suffixes=("", "_other"))
        both = pairs[(pairs["status"] == "found") & (pairs["status_other"] == "found")]
        both = both.sample(min(COMPARED, len(both)), random_state=0)
        values = pd.Series([_overlap(folder, a, b) for a, b in zip(both["case"], both["case_other"], strict=True)])
        yield _line("overlap", f"{first}, {second}", mean_of(values, both["lesion_id"].reset_index(drop=True)))
        for one, other in ((first, second), (second, first)):
            own = by_name[one]
            counted = column(own, f"oracle.{other}.counted") == 1
            follows = column(own, f"oracle.{other}.flipped").where(counted & (own["status"] == "found"))
            yield _line("follows", f"{other} follows {one}", mean_of(follows, own["lesion_id"]))


def _overlap(folder: Path, first: str, second: str) -> float:
    """Of the strongest tenths of two changes of one image; unknown where the classifiers see it at other sizes."""
    both = [load(folder / "cases" / case).edit for case in (first, second)]
    if both[0].query.shape != both[1].query.shape:
        return float("nan")
    return float(seed_agreement(both))


def _review(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    likely = column(rows, "target_before").where(rows["status"] != "already_target", -1.0)
    each = one_an_image(rows.loc[likely.sort_values(ascending=False, kind="stable").index])
    wrong = each[correct(each) == 0]
    noise = rows[rows["verdict"] == "adversarial"] if "verdict" in rows else rows.iloc[:0]
    chosen = (
        ("nearest to the boundary", each.sort_values("margin")),
        ("wrong and sure", wrong.sort_values("source_before", ascending=False)),
        ("adversarial", noise.assign(size=column(noise, "metric.mean_change")).sort_values("size")),
    )
    for reason, some in chosen:
        for row in some.head(REVIEWED // 3).to_dict("records"):
            yield {"reason": reason} | {k: row.get(k) for k in ("case", "image_id", "label", "source", "target")} | {
                "margin": row.get("margin"),
                "change": row.get("metric.mean_change"),
            }
