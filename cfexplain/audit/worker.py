"""Explains the items of an audit; it can be sent to another process as it is."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cfexplain.audit.item import Item, Sample, Samples
from cfexplain.audit.region import by_region
from cfexplain.audit.row import FAILED, Row, explained
from cfexplain.classifier.checks import device_of_weights
from cfexplain.dermoscopy.segment import segment
from cfexplain.explanation.explanation import describe
from cfexplain.explanation.folder import files
from cfexplain.explanation.record import Provenance
from cfexplain.images import ImageError, square, square_mask
from cfexplain.method.stage import Method
from cfexplain.search.edit import Edit
from cfexplain.search.explain import explain
from cfexplain.types import Classifier
from cfexplain.version import versions

NOT_METADATA = ("label", "lesion_id", "split", "path", "mask_path")
Result = tuple[Row, Mapping[str, bytes]]  # A row, and the files of its explanation by name.


@dataclass(frozen=True, eq=False)
class Worker:
    """Computes rows from items; the attributes are arguments of `audit`."""

    classifiers: Mapping[str, Classifier]
    oracles: Mapping[str, Classifier]
    samples: Samples
    method: Method
    seed: int = 0
    budget: float = math.inf
    names: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, batch: Sequence[Item]) -> list[Result]:
        """Explain items of one classifier together; if that fails, one by one; an item that fails is a row too."""
        try:
            return self._explain(batch)
        except Exception as error:
            if len(batch) > 1:
                return [result for item in batch for result in self([item])]
            return [self.failed(batch[0], error)]

    def failed(self, item: Item, error: BaseException) -> Result:
        """The row of an item that could not be explained."""
        return self._known(item) | {"status": FAILED, "error": f"{type(error).__name__}: {error}"}, {}

    def _explain(self, batch: Sequence[Item]) -> list[Result]:
        started = time.perf_counter()
        classifier = self.classifiers[batch[0].classifier]
        device = device_of_weights(classifier)
        samples = [self.samples[item.index] for item in batch]
        queries = torch.stack([square(sample.image, classifier.image_size) for sample in samples])
        masks, origins = zip(*map(_mask, samples, queries), strict=True)
        edits = explain(
            classifier,
            queries.to(device),
            [item.target for item in batch],
            method=self.method,
            seed=self.seed,
            budget=self.budget,
            mask=torch.stack(masks).to(device),
            batch=len(batch) if len(batch) > 1 else None,
        )
        results = [self._result(*one) for one in zip(batch, samples, edits, origins, strict=True)]
        seconds = round((time.perf_counter() - started) / len(batch), 3)
        return [(row | {"seconds": seconds}, files) for row, files in results]

    def _result(self, item: Item, sample: Sample, edit: Edit, mask: str) -> Result:
        classifier = self.classifiers[item.classifier]
        others = {name: other for name, other in self.classifiers.items() if name != item.classifier}
        origin = Provenance(item.image_id, item.classifier)
        explanation = describe(edit, classifier, {**self.oracles, **others}, provenance=origin)
        row = self._known(item) | explained(explanation) | by_region(sample.image, edit, classifier)
        return row | {"mask": mask, "case": item.case}, files(explanation, figures=False)

    def _known(self, item: Item) -> Row:
        """The row before anything is computed."""
        values = {str(name): value for name, value in self.samples.table.iloc[item.index].items()}
        known = {name: str(v) for name, v in values.items() if v is not None and str(v) not in ("", "nan", "<NA>")}
        classes, label = self.classifiers[item.classifier].classes, known.get("label", "")
        synonyms = {name: {name, self.names.get(name, name)} for name in (label, *classes)}
        return {
            "image_id": item.image_id,
            "target": None if item.target == "auto" else item.target,
            "classifier": item.classifier,
            "asked": item.target,
            "label": next((name for name in classes if synonyms[label] & synonyms[name]), None),
            "lesion_id": known.get("lesion_id", item.image_id),
            "seed": self.seed,
            "versions": json.dumps(versions()),
            "meta.*": {name: known.get(name) for name in values if name not in NOT_METADATA},
        }


def _mask(sample: Sample, query: Tensor) -> tuple[Tensor, str]:
    """The lesion's mask on the square, and where it is from."""
    if sample.mask is None:
        return segment(query[None])[0], "found"
    try:
        return square_mask(sample.mask, sample.image, query.shape[-1]), "given"
    except ImageError:
        return segment(query[None])[0], "found, for the given one cannot be used"
