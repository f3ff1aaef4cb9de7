"""One row of an audit: its columns with types, units and descriptions, and what an explanation puts into them."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from cfexplain.explanation.explanation import Explanation

FAILED = "failed"
AREA, ENERGY, FLIP = "share of the image", "share of energy", "share of the logit change"
LOSS = "standard deviations"

Row = dict[str, Any]  # By the names in `COLUMNS`; the value of `metric.*` is a mapping. What is missing is None.


class Column(NamedTuple):
    """A column of the rows: `*` in the name stands for a key, the type is Arrow's, each value may be missing."""

    name: str
    type: str
    unit: str
    description: str


COLUMNS = (
    Column("image_id", "string", "", "name of the image"),
    Column("target", "string", "", "target class"),
    Column("classifier", "string", "", "name of the explained classifier"),
    Column("asked", "string", "", "target as given: a class, or auto for the second most likely one"),
    Column("label", "string", "", "true class, by the classifier's name of it"),
    Column("lesion_id", "string", "", "lesion in the image; intervals count lesions"),
    Column("seed", "int64", "", "seed of noise and weights"),
    Column("versions", "string", "", "versions of the packages, as JSON"),
    Column("case", "string", "", "folder of the explanation in cases/"),
    Column("error", "string", "", "why the item failed"),
    Column("source", "string", "", "class predicted for the image"),
    Column("source_before", "float64", "", "probability of the source class before the edit"),
    Column("margin", "float64", "", "lead in probability of the most likely class before the edit"),
    Column("probabilities", "string", "", "probabilities of all classes before the edit, as JSON"),
    Column("verdict", "string", "", "verdict on the counterfactual"),
    Column("meta.*", "string", "", "metadata of the data set"),
    Column("status", "string", "", "how the search ended; failed where the item failed"),
    Column("target_before", "float64", "", "probability of the target class before the edit"),
    Column("source_after", "float64", "", "probability of the source class after the edit"),
    Column("target_after", "float64", "", "probability of the target class after the edit"),
    Column("estimated_loss", "float64", LOSS, "estimated loss before the edit"),
    Column("estimated_loss_after", "float64", LOSS, "estimated loss after the edit"),
    Column("alpha", "float64", "", "share of the edit that the line search kept"),
    Column("steps", "int64", "", "steps of the search, anchor included"),
    Column("search_seconds", "float64", "s", "wall time of the search"),
    Column("oracle_agreement", "float64", "", "share of the counted oracles that flip"),
    Column("naturalness", "float64", "percentile", "estimated loss among real images of the target class"),
    Column("high_frequency_share", "float64", ENERGY, "change beyond half the Nyquist frequency"),
    Column("robust.*", "bool", "", "the target is still predicted after a corruption"),
    Column("oracle.*.counted", "bool", "", "an oracle predicts the source before"),
    Column("oracle.*.flipped", "bool", "", "an oracle predicts the target after"),
    Column("oracle.*.gain", "float64", "", "gain in probability of the target"),
    Column("words", "string", "", "the finding in words"),
    Column("before.*", "float64", "", "ABCD measure of the lesion before the edit"),
    Column("after.*", "float64", "", "ABCD measure of the lesion after the edit"),
    Column("metric.*", "float64", "", "metric, in the unit of cfexplain.METRICS"),
    Column("artefact.*", "float64", AREA, "area of an artefact before the edit"),
    Column("added.*", "float64", AREA, "area that an artefact gains by the edit"),
    Column("ita", "float64", "degrees", "individual typology angle of the skin"),
    Column("tone", "string", "", "class of the skin's tone"),
    Column("place.*", "float64", ENERGY, "change in the lesion, its border or the skin"),
    Column("area.*", "float64", AREA, "area of the lesion, its border or the skin"),
    Column("on.*", "float64", ENERGY, "change on an artefact"),
    Column("effect.*", "float64", FLIP, "flip by the change in one region alone"),
    Column("excess.*", "float64", FLIP, "effect beyond that of the rotated region"),
    Column("mask", "string", "", "source of the lesion's mask"),
    Column("seconds", "float64", "s", "wall time of the item"),
)


def columns() -> tuple[Column, ...]:
    """The columns of an audit's rows, in their order.

    Example:
        >>> next(column.unit for column in columns() if column.name == "search_seconds")
        's'
    """
    return COLUMNS


def explained(explanation: Explanation) -> Row:
    """What an explanation says of its image."""
    record, verdict, readout = explanation.record, explanation.verdict, explanation.readout
    before, after = record.probabilities["query"], record.probabilities["counterfactual"]
    *_, second, first = sorted(before.values())
    return {
        "target": record.target,
        "source": record.source,
        "source_before": before[record.source],
        "margin": first - second,
        "probabilities": json.dumps(before),
        "verdict": verdict.kind.value,
        "status": record.status.value,
        "target_before": before[record.target],
        "source_after": after[record.source],
        "target_after": after[record.target],
        "estimated_loss": record.estimated_loss["query"],
        "estimated_loss_after": record.estimated_loss["counterfactual"],
        "alpha": record.alpha,
        "steps": record.steps,
        "search_seconds": record.seconds,
        "oracle_agreement": verdict.oracle_agreement,
        "naturalness": verdict.naturalness,
        "high_frequency_share": verdict.high_frequency_share,
        "robust.*": verdict.robustness,
        "oracle.*.counted": {name: answer.counted for name, answer in verdict.oracles.items()},
        "oracle.*.flipped": {name: answer.flipped for name, answer in verdict.oracles.items()},
        "oracle.*.gain": {name: answer.gain for name, answer in verdict.oracles.items()},
        "words": explanation.words if readout else None,
        "before.*": readout.before.numbers() if readout else {},
        "after.*": readout.after.numbers() if readout else {},
        "metric.*": explanation.metrics,
    }


def flat(row: Row) -> dict[str, str | float | bool | None]:
    """All values in the order of the columns, a mapping as one column per key."""
    assert set(row) <= {column.name for column in COLUMNS}, "a value without a column"
    found: dict[str, str | float | bool | None] = {}
    for name, *_ in COLUMNS:
        values: Mapping[str, Any] = row.get(name, {}) if "*" in name else {name: row.get(name)}
        found |= {name.replace("*", key): value for key, value in values.items()}
    return found
