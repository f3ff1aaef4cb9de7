"""An image to explain, the search for its counterfactual as a stream, and the record as a zip file."""

import shutil
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain import METHODS, Explanation, describe, explain, save
from cfexplain import images as files
from cfexplain.classifier.checks import device_of_weights, predict
from cfexplain.classifier.sources import licence_of, load_classifier, load_oracles, synthetic_lesion
from cfexplain.explanation.figures import fullsize_figure
from cfexplain.explanation.record import Provenance
from cfexplain.method.stop import Step
from cfexplain.report import render_explanation
from cfexplain.types import Classifier, Image, Images, Prediction

SHUTDOWN = threading.Event()  # stops all searches while it is set


@dataclass(frozen=True, eq=False)
class NamedClassifier:
    """A classifier, its oracles for the verdict, and what an explanation cites: its name and licence."""

    name: str
    classifier: Classifier
    oracles: Mapping[str, Classifier]
    licence: str

    @classmethod
    def load(cls, name: str, device: str = "auto") -> "NamedClassifier":
        """Load a classifier by the name that `cfexplain explain` takes; raises ValueError if there is none."""
        classifier = load_classifier(name, device)
        return cls(name, classifier, load_oracles((), name, classifier), licence_of(name) or "")


@dataclass(frozen=True, eq=False)
class Query:
    """An image and its prediction."""

    name: str  # File name of the image.
    original: Image  # At its own resolution.
    model: NamedClassifier
    image: Images  # The input of the classifier.
    probabilities: Mapping[str, float]  # Of the classes, the largest first.

    @classmethod
    def of(cls, original: Image, name: str, model: NamedClassifier) -> "Query":
        """Predict an image."""
        classifier = model.classifier
        image = files.square(original, classifier.image_size)[None].to(device_of_weights(classifier))
        return cls(name, original, model, image, _by_class(predict(classifier, image), model))

    @classmethod
    def read(cls, path: Path, model: NamedClassifier) -> "Query":
        """Read an uploaded image and delete its file; raises ImageError if it is not a readable image."""
        try:
            return cls.of(files.load_picture(path), path.name, model)
        finally:
            path.unlink(missing_ok=True)

    @classmethod
    def example(cls, seed: int, model: NamedClassifier) -> "Query":
        """Draw a synthetic lesion."""
        lesion = synthetic_lesion(seed % 20)
        return cls.of(lesion.image, f"{lesion.id}.png", model)


@dataclass(frozen=True, eq=False)
class Progress:
    """The state of a search."""

    stage: str  # Anchor, edit or evaluation.
    step: int  # Of this stage, counted from 1.
    steps: int  # Of this stage, at most.
    image: Image  # The anchor or the counterfactual so far.
    probabilities: Mapping[str, float] | None  # Of `image`, the largest first; None for the anchor.


def search(
    query: Query,
    target: str,
    method: str = "natural",
    seed: int = 0,
    budget: float | None = None,
    region: Float[Tensor, "1 1 h w"] | None = None,
) -> Iterator[Progress | Explanation]:
    """Search in a thread: progress up to four times a second, then the explanation; closing the iterator stops it."""
    model, preset = query.model, METHODS[method]
    stopped, latest, first = threading.Event(), deque[tuple[str, Step]](maxlen=1), dict[str, Images]()

    def watch(_: int, stage: str, step: Step) -> None:
        if stopped.is_set() or SHUTDOWN.is_set():
            raise CancelledError
        first.setdefault(stage, step.image)
        latest.append((stage, step))

    def run() -> Explanation:
        edit = explain(
            model.classifier, query.image, target, method=preset, seed=seed, budget=budget or float("inf"),
            region=region, callback=watch,
        )  # fmt: skip
        watch(0, "evaluation", Step(0, edit.image, edit.after, torch.zeros(1)))
        provenance = Provenance(query.name, model.name, model.licence)
        explanation = describe(edit, model.classifier, model.oracles, provenance=provenance)
        return replace(explanation, figures=fullsize_figure(edit, query.original))

    def progress(stage: str, step: Step) -> Progress:
        descent = preset.anchor if stage == "anchor" and preset.anchor else preset.edit
        moved = stage == "edit" and preset.transfer != "never"
        image = (query.image + step.image - first["edit"]).clamp(0, 1) if moved else step.image
        known = None if stage == "anchor" or step.prediction is None else _by_class(step.prediction, model)
        return Progress(stage, step.index + 1, descent.expected(step.index), image[0].cpu(), known)

    pool = ThreadPoolExecutor(1)
    future = pool.submit(run)
    try:
        while not future.done():
            wait([future], 0.25)
            if latest:
                yield progress(*latest.pop())
        yield future.result()
    finally:
        stopped.set()
        pool.shutdown(wait=False)


def write_record(explanation: Explanation, folder: Path) -> tuple[Path, str]:
    """Write what `cfexplain explain` writes as a zip file into a folder; returns its path and the report as HTML."""
    written = save(explanation, folder / Path(explanation.provenance.image).stem)
    report = render_explanation(explanation, written).read_text(encoding="utf-8")
    archive = shutil.make_archive(str(written), "zip", folder, written.name)
    shutil.rmtree(written)
    return Path(archive), report


def _by_class(prediction: Prediction, model: NamedClassifier) -> dict[str, float]:
    pairs = zip(model.classifier.classes, prediction.probabilities[0].tolist(), strict=True)
    return dict(sorted(pairs, key=lambda pair: -pair[1]))
