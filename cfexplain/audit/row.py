"""One row of an audit: typed fields with units and descriptions, and the columns that follow from them."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from cfexplain.explanation.explanation import Explanation

FAILED = "failed"
AREA, ENERGY, FLIP = "share of the image", "share of energy", "share of the logit change"
LOSS = "standard deviations"


def _column(description: str, unit: str = "", *, name: str = "", default: Any = None) -> Any:
    """A field of one column, or with a name such as `metric.*` of as many as its mapping has keys."""
    metadata = {"name": name, "unit": unit, "description": description}
    return field(default_factory=dict, metadata=metadata) if name else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One explanation of an audit, or the error instead of it; a mapping is one column per key."""

    image_id: str = _column("name of the image", default=MISSING)
    target: str | None = _column("target class")
    classifier: str = _column("name of the explained classifier", default=MISSING)
    asked: str = _column("target as given: a class, or auto for the second most likely one", default=MISSING)
    label: str | None = _column("true class, by the classifier's name of it")
    lesion_id: str = _column("lesion in the image; intervals count lesions", default=MISSING)
    seed: int = _column("seed of noise and weights", default=MISSING)
    versions: str = _column("versions of the packages, as JSON", default=MISSING)
    case: str | None = _column("folder of the explanation in cases/")
    error: str | None = _column("why the item failed")
    source: str | None = _column("class predicted for the image")
    source_before: float | None = _column("probability of the source class before the edit")
    margin: float | None = _column("lead in probability of the most likely class before the edit")
    probabilities: str | None = _column("probabilities of all classes before the edit, as JSON")
    verdict: str | None = _column("verdict on the counterfactual")
    meta: Mapping[str, str | None] = _column("metadata of the data set", name="meta.*")
    status: str = _column("how the search ended; failed where the item failed", default=FAILED)
    target_before: float | None = _column("probability of the target class before the edit")
    source_after: float | None = _column("probability of the source class after the edit")
    target_after: float | None = _column("probability of the target class after the edit")
    estimated_loss: float | None = _column("estimated loss before the edit", LOSS)
    estimated_loss_after: float | None = _column("estimated loss after the edit", LOSS)
    alpha: float | None = _column("share of the edit that the line search kept")
    steps: int | None = _column("steps of the search, anchor included")
    search_seconds: float | None = _column("wall time of the search", "s")
    oracle_agreement: float | None = _column("share of the counted oracles that flip")
    naturalness: float | None = _column("estimated loss among real images of the target class", "percentile")
    high_frequency_share: float | None = _column("change beyond half the Nyquist frequency", ENERGY)
    robust: Mapping[str, bool] = _column("the target is still predicted after a corruption", name="robust.*")
    oracle_counted: Mapping[str, bool] = _column("an oracle predicts the source before", name="oracle.*.counted")
    oracle_flipped: Mapping[str, bool] = _column("an oracle predicts the target after", name="oracle.*.flipped")
    oracle_gain: Mapping[str, float | None] = _column("gain in probability of the target", name="oracle.*.gain")
    words: str | None = _column("the finding in words")
    before: Mapping[str, float] = _column("ABCD measure of the lesion before the edit", name="before.*")
    after: Mapping[str, float] = _column("ABCD measure of the lesion after the edit", name="after.*")
    metric: Mapping[str, float | None] = _column("metric, in the unit of cfexplain.METRICS", name="metric.*")
    artefact: Mapping[str, float] = _column("area of an artefact before the edit", AREA, name="artefact.*")
    added: Mapping[str, float] = _column("area that an artefact gains by the edit", AREA, name="added.*")
    ita: float | None = _column("individual typology angle of the skin", "degrees")
    tone: str | None = _column("class of the skin's tone")
    place: Mapping[str, float] = _column("change in the lesion, its border or the skin", ENERGY, name="place.*")
    area: Mapping[str, float] = _column("area of the lesion, its border or the skin", AREA, name="area.*")
    on: Mapping[str, float] = _column("change on an artefact", ENERGY, name="on.*")
    effect: Mapping[str, float] = _column("flip by the change in one region alone", FLIP, name="effect.*")
    excess: Mapping[str, float] = _column("effect beyond that of the rotated region", FLIP, name="excess.*")
    mask: str | None = _column("source of the lesion's mask")
    seconds: float | None = _column("wall time of the item", "s")

    @classmethod
    def of(cls, explanation: Explanation, known: "AuditRow") -> "AuditRow":
        """The row of an explanation; `known` is what is known of its image and item beforehand."""
        record, verdict, readout = explanation.record, explanation.verdict, explanation.readout
        before, after = record.probabilities["query"], record.probabilities["counterfactual"]
        *_, second, first = sorted(before.values())
        return replace(
            known,
            target=record.target,
            source=record.source,
            source_before=before[record.source],
            margin=first - second,
            probabilities=json.dumps(before),
            verdict=verdict.kind.value,
            status=record.status.value,
            target_before=before[record.target],
            source_after=after[record.source],
            target_after=after[record.target],
            estimated_loss=record.estimated_loss["query"],
            estimated_loss_after=record.estimated_loss["counterfactual"],
            alpha=record.alpha,
            steps=record.steps,
            search_seconds=record.seconds,
            oracle_agreement=verdict.oracle_agreement,
            naturalness=verdict.naturalness,
            high_frequency_share=verdict.high_frequency_share,
            robust=verdict.robustness,
            oracle_counted={name: answer.counted for name, answer in verdict.oracles.items()},
            oracle_flipped={name: answer.flipped for name, answer in verdict.oracles.items()},
            oracle_gain={name: answer.gain for name, answer in verdict.oracles.items()},
            words=explanation.words if readout else None,
            before=readout.before.numbers() if readout else {},
            after=readout.after.numbers() if readout else {},
            metric=explanation.metrics,
        )

    def to_dict(self) -> dict[str, str | float | bool | None]:
        """The values by column, in the order of the fields."""
        flat: dict[str, str | float | bool | None] = {}
        for part in fields(self):
            value, pattern = getattr(self, part.name), part.metadata["name"]
            flat |= {pattern.replace("*", key): v for key, v in value.items()} if pattern else {part.name: value}
        return flat


class Column(NamedTuple):
    """A column of the rows: `*` in the name stands for a key, the type is Arrow's, each value may be missing."""

    name: str
    type: str
    unit: str
    description: str


@cache
def columns() -> tuple[Column, ...]:
    """The columns of an audit's rows, in their order.

    Example:
        >>> next(column.unit for column in columns() if column.name == "search_seconds")
        's'
    """
    types = {name: _type(hint) for name, hint in get_type_hints(AuditRow).items()}
    parts = [(part.name, part.metadata) for part in fields(AuditRow)]
    return tuple(Column(m["name"] or name, types[name], m["unit"], m["description"]) for name, m in parts)


def _type(hint: Any) -> str:
    """Arrow's name of the float in `float | None` and in `Mapping[str, float | None]`."""
    arguments = get_args(hint)
    if arguments:
        return _type(arguments[1 if get_origin(hint) is Mapping else 0])
    return {str: "string", int: "int64", float: "float64", bool: "bool"}[hint]
