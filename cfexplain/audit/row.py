"""One row of an audit: a question answered, in plain values, with the files that belong to it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cfexplain.audit.question import Question, Sample, Samples
from cfexplain.audit.region import PLACES, artefacts, effects, energy_shares, excess, places
from cfexplain.classifier.checks import device_of_weights
from cfexplain.dermoscopy.segment import segment
from cfexplain.dermoscopy.skin_tone import ita, tone
from cfexplain.explanation.explanation import Explanation, describe
from cfexplain.explanation.folder import files
from cfexplain.explanation.record import Provenance, Record
from cfexplain.explanation.verdict import Verdict
from cfexplain.images import ImageError, square, square_mask
from cfexplain.method.stage import Method
from cfexplain.search.edit import Edit
from cfexplain.search.explain import explain
from cfexplain.types import Classifier
from cfexplain.version import versions

NOT_METADATA = ("label", "lesion_id", "split", "path", "mask_path")
FAILED = "failed"
ANSWERED = ("source", "source_before", "margin", "probabilities", "verdict")
"""Columns that the summary relies on; they are there also where no image could be answered."""


@dataclass(frozen=True, eq=False)
class Row:
    """The record, flat and plain, and the case's files by name."""

    record: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Examiner:
    """Answers questions; it can be sent to another process as it is.

    Attributes:
        classifiers: by name.
        oracles: independent ones, that only judge.
        samples: the images.
        method: of the counterfactuals.
        seed: of noise and weights.
        budget: seconds a question.
        names: what the classifiers call labels that the data set calls otherwise.
        anchors: folder of kept anchors, see `explain`.
    """

    classifiers: Mapping[str, Classifier]
    oracles: Mapping[str, Classifier]
    samples: Samples
    method: Method
    seed: int = 0
    budget: float = math.inf
    names: Mapping[str, str] = field(default_factory=dict)
    anchors: Path | None = None

    def __call__(self, questions: Sequence[Question]) -> list[Row]:
        """Answer questions to one classifier together; where that fails, alone; what fails alone is a row too."""
        try:
            return self._together(questions)
        except Exception as error:
            if len(questions) > 1:
                return [row for question in questions for row in self([question])]
            return [self.failed(questions[0], error)]

    def _classes(self, question: Question) -> Sequence[str]:
        return self.classifiers[question.classifier].classes

    def failed(self, question: Question, error: BaseException) -> Row:
        """The row of a question that could not be answered."""
        return Row(self._known(question) | {"status": FAILED, "error": f"{type(error).__name__}: {error}"})

    def _together(self, questions: Sequence[Question]) -> list[Row]:
        started = time.perf_counter()
        classifier = self.classifiers[questions[0].classifier]
        device = device_of_weights(classifier)
        samples = [self.samples[question.index] for question in questions]
        size = classifier.image_size
        queries = torch.stack([square(sample.image, size) for sample in samples]).to(device)
        outlines = [_mask(s, q) for s, q in zip(samples, queries.cpu(), strict=True)]
        masks = torch.stack([mask for mask, _ in outlines])
        results = explain(
            classifier,
            queries,
            [question.asked for question in questions],
            method=self.method,
            seed=self.seed,
            budget=self.budget,
            mask=masks.to(device),
            batch=len(questions) if len(questions) > 1 else None,
        )
        rows = [
            self._row(question, sample, result, classifier, origin)
            for question, sample, result, (_, origin) in zip(questions, samples, results, outlines, strict=True)
        ]
        share = round((time.perf_counter() - started) / len(rows), 3)
        return [replace(row, record={**row.record, "seconds": share}) for row in rows]

    def _row(
        self, question: Question, sample: Sample, result: Edit, classifier: Classifier, origin: str
    ) -> Row:
        """Everything that is said of one answer."""
        others = {k: c for k, c in self.classifiers.items() if k != question.classifier}
        provenance = Provenance(question.image_id, question.classifier)
        explanation = describe(result, classifier, {**self.oracles, **others}, provenance=provenance)
        values = self._known(question) | _answer(explanation.record) | _verdict(explanation.verdict)
        values |= _abcd(explanation) | {f"metric.{name}": value for name, value in explanation.metrics.items()}
        values |= _whereabouts(sample, result, classifier)
        values |= {"mask": origin, "case": question.case}
        return Row({k: _plain(v) for k, v in values.items()}, files(explanation, figures=False))

    def _same(self, label: str, name: str) -> bool:
        """Whether data set and classifier mean the same by two names: one name, or both have it as another."""
        return bool({label, self.names.get(label, label)} & {name, self.names.get(name, name)})

    def _known(self, question: Question) -> dict[str, Any]:
        """What is known before anything is computed."""
        about = self.samples.table.iloc[question.index]
        label = about.get("label")
        known = next((n for n in self._classes(question) if self._same(str(label), n)), None)
        metadata = {f"meta.{k}": None if _missing(v) else str(v) for k, v in about.items() if k not in NOT_METADATA}
        return {
            "image_id": question.image_id,
            "target": None if question.asked == "auto" else question.asked,
            "classifier": question.classifier,
            "asked": question.asked,
            "label": known,
            "lesion_id": question.image_id if _missing(about.get("lesion_id")) else str(about["lesion_id"]),
            "seed": self.seed,
            "versions": json.dumps(versions()),
            "case": None,
            "error": None,
        } | dict.fromkeys(ANSWERED) | metadata


def _mask(sample: Sample, query: Tensor) -> tuple[Tensor, str]:
    """The lesion on the square, and whether it was given, or found as there is none or the given one misses it."""
    if sample.mask is not None:
        try:
            return square_mask(sample.mask, sample.image, query.shape[-1]), "given"
        except ImageError:
            return segment(query[None])[0], "found, for the given one cannot be used"
    return segment(query[None])[0], "found"


def _answer(record: Record) -> dict[str, Any]:
    """How the search went and what the classifier says."""
    p, source, target = record.probabilities, record.source, record.target
    top = sorted(p["query"].values())
    return {
        "target": target,
        "status": record.status.value,
        "source": source,
        "source_before": p["query"][source],
        "target_before": p["query"][target],
        "source_after": p["counterfactual"][source],
        "target_after": p["counterfactual"][target],
        "margin": top[-1] - top[-2],
        "probabilities": json.dumps(p["query"]),
        "estimated_loss": record.estimated_loss["query"],
        "estimated_loss_after": record.estimated_loss["counterfactual"],
        "alpha": record.alpha,
        "steps": record.steps,
        "search_seconds": record.seconds,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = {
        "verdict": verdict.kind.value,
        "oracle_agreement": verdict.oracle_agreement,
        "naturalness": verdict.naturalness,
        "high_frequency_share": verdict.high_frequency_share,
    }
    found |= {f"robust.{corruption}": held for corruption, held in verdict.robustness.items()}
    return found | {f"oracle.{name}.{k}": v for name, o in verdict.oracles.items() for k, v in vars(o).items()}


def _abcd(explanation: Explanation) -> dict[str, Any]:
    """The lesion before and after, and the sentences."""
    told = explanation.readout
    if told is None:
        return {"words": None}
    found: dict[str, Any] = {"words": explanation.words}
    found |= {f"before.{name}": value for name, value in told.before.numbers().items()}
    return found | {f"after.{name}": value for name, value in told.after.numbers().items()}


def _whereabouts(sample: Sample, result: Edit, classifier: Classifier) -> dict[str, float | str | None]:
    """Places and artefacts: how much of the change lies there, and what it does; the skin's tone."""
    assert result.mask is not None
    lesion = result.mask[0].cpu()
    shares, artificial = artefacts(sample.image, result)
    angle = ita(square(sample.image, result.query.shape[-1]), lesion)
    known: dict[str, float | str | None] = {**shares, "ita": angle, "tone": None if math.isnan(angle) else tone(angle)}
    if not result.found[0]:
        return known
    parts = places(lesion)
    known |= {f"place.{name}": share for name, share in energy_shares(result, parts).items()}
    known |= {f"area.{name}": float(parts[name].mean()) for name in PLACES}
    known |= {f"on.{name}": share for name, share in energy_shares(result, artificial).items()}
    known |= {f"effect.{name}": share for name, share in effects(result, classifier, {**parts, **artificial}).items()}
    return known | {f"excess.{name}": share for name, share in excess(result, classifier, artificial).items()}


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in ("", "nan", "<NA>")


def _plain(value: Any) -> Any:
    """JSON's kinds of values; what is not finite is not known."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
