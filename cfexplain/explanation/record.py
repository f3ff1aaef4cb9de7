"""The record of one explanation: the layout of result.json, its schema, and how older layouts are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from cfexplain.dermoscopy.abcd import COLOURS, Appearance
from cfexplain.explanation.readout import Readout
from cfexplain.explanation.verdict import Kind, Verdict
from cfexplain.types import Status
from cfexplain.version import versions

FORMAT = 2
NOTICE = "Research use only: this explains a model, it does not diagnose a lesion."


@dataclass(frozen=True)
class Provenance:
    """Where an explanation comes from.

    Attributes:
        image: name of the image.
        classifier: name of the explained classifier; empty where it has none.
        licence: of the classifier.
        hair_removal: how hair was removed from the image beforehand; empty where it was not.
        device: on which it was computed.
        versions: of the packages that it depends on.
    """

    image: str = "image-0"
    classifier: str = ""
    licence: str | None = None
    hair_removal: str = ""
    device: str = "cpu"
    versions: Mapping[str, str] = field(default_factory=versions)


@dataclass(frozen=True)
class Seeds:
    """`SeedAgreement` without its maps, which are among the tensors.

    Attributes:
        overlap: mean intersection over union of the strongest tenth of the change.
        noise_floor: mean difference between two anchors (intensity).
    """

    overlap: float
    noise_floor: float | None


@dataclass(frozen=True)
class Record:
    """What result.json holds. Its JSON schema is `schema()`, published in the documentation.

    Attributes:
        format: version of this layout.
        classes: names, in the order of the logits.
        source: class predicted for the query.
        target: class asked for.
        status: how the search ended.
        advice: what to try next.
        caution: what to keep in mind when reading the change.
        finding: the finding in one sentence.
        qualification: what qualifies it.
        probabilities: of the query, the anchor and the counterfactual, by class.
        estimated_loss: of the same three images, standardised on validation data.
        metrics: by name; None where one does not apply.
        verdict: with its evidence.
        readout: the lesion's ABCD before and after.
        seeds: agreement with other seeds.
        alpha: share of the edit's change that was kept by the line search.
        steps: taken, those of the anchor included.
        seconds: wall time of the search.
        seed: of noise and weights.
        method: all settings of the method.
        history: of the edit, one row a step.
        provenance: where the explanation comes from.
        notice: on the use of it.
    """

    classes: list[str]
    source: str
    target: str
    status: Status
    advice: str
    caution: str | None
    finding: str
    qualification: str
    probabilities: dict[str, dict[str, float]]
    estimated_loss: dict[str, float | None]
    metrics: dict[str, float | None]
    verdict: Verdict
    readout: Readout | None
    seeds: Seeds | None
    alpha: float
    steps: int
    seconds: float
    seed: int
    method: dict[str, Any]
    history: list[dict[str, float | None]]
    provenance: Provenance
    notice: str = NOTICE
    format: Literal[2] = 2


def parse(values: Mapping[str, Any]) -> Record:
    """A record from plain values of this format or an earlier one.

    Raises:
        ValueError: the values do not follow the schema.
    """
    try:
        return msgspec.convert(_upgraded(values) if values.get("format") == 1 else dict(values), Record)
    except (msgspec.ValidationError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the record does not follow the schema ({error})") from None


def schema() -> dict[str, Any]:
    """JSON schema of result.json."""
    return msgspec.json.schema(Record)


def _upgraded(old: Mapping[str, Any]) -> dict[str, Any]:
    """A record of format 1 in today's layout."""
    verdict, words = old.get("verdict") or {}, str(old.get("words") or "")
    about = old.get("classifier") or {}
    about = about if isinstance(about, dict) else {"name": str(about)}
    kind = verdict.get("kind", "none")
    if kind == "fragile" and old.get("status") == "found" and verdict.get("believed") is None:
        kind = Kind.UNCONFIRMED.value  # format 1 had no word for a robust flip that nobody was asked to confirm
    return {
        **{name: old[name] for name in Record.__annotations__ if name in old},
        "format": FORMAT,
        "metrics": {name.replace("colour_cast", "colour_shift"): v for name, v in old.get("metrics", {}).items()},
        "finding": words,
        "qualification": "",
        "alpha": old.get("alpha", 1.0),
        "verdict": {
            "kind": kind,
            "robustness": verdict.get("survives", {}),
            "oracles": verdict.get("oracles", {}),
            "oracle_agreement": verdict.get("believed"),
            "high_frequency_share": verdict.get("high_frequency_share", 0.0),
            "naturalness": verdict.get("naturalness"),
        },
        "readout": None if "readout" not in old else _old_readout(old["readout"], words),
        "seeds": None,
        "provenance": {
            "image": old.get("image", ""),
            "classifier": about.get("name", ""),
            "licence": about.get("licence"),
            "hair_removal": old.get("dehair", ""),
            "device": old.get("device", "cpu"),
            "versions": old.get("versions", {}),
        },
    }


def _old_readout(numbers: Mapping[str, Any], words: str) -> dict[str, Any]:
    """Format 1 kept every measure flat, and `outline_held` and `cut_off` only in its sentence."""
    names = [name for name in Appearance.__annotations__ if name != "shares"]
    sides = {
        side: {name: numbers[f"{name}_{side}"] for name in names}
        | {"shares": {colour: numbers[f"{colour}_{side}"] for colour in COLOURS}}
        for side in ("before", "after")
    }
    return sides | {
        "inside": numbers.get("inside"),
        "outline_held": "One outline served both pictures" in words,
        "cut_off": "reaches the picture's rim" in words,
    }
