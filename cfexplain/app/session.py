"""What one visit does, without a page: read a picture, predict it, let the counterfactual grow, keep the record."""

from __future__ import annotations

import json
import math
import queue
import re
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain import images as files
from cfexplain.classifier import check_classifier, predict
from cfexplain.command.explain import synthetic_lesion
from cfexplain.command.lookup import device_of, licence_of, load_classifier, load_method, load_oracles
from cfexplain.evidence import evidence
from cfexplain.explanation import explain
from cfexplain.methods import at_confidence
from cfexplain.report import render
from cfexplain.result import Counterfactual
from cfexplain.segment import segment
from cfexplain.solve import Method
from cfexplain.stop import Step
from cfexplain.types import Classifier, Image, Images, Prediction

EVERY = 0.25
"""Seconds between two sights of a growing counterfactual, at least."""

MOST_VISITS = 32
"""Visits kept at once; the one longest unused goes first."""

VISIT = "visit-"
"""How the folders of visits begin."""

EXAMPLES = 20
"""Painted lesions to choose from."""


class Stopped(Exception):
    """The visitor stopped the search, or left."""


@dataclass(frozen=True, eq=False)
class Ask:
    """What a visitor asks of a picture.

    Attributes:
        target: name of a class; auto is the second most likely.
        method: its name, as in `cfexplain explain`.
        confidence: probability of the target to reach; None as the method has it.
        seed: same seed, same result.
        budget: seconds; None is no limit.
        region: 1 where the picture may change, of the classifier's square at any size; None is everywhere.
    """

    target: str = "auto"
    method: str = "natural"
    confidence: float | None = None
    seed: int = 0
    budget: float | None = None
    region: Float[Tensor, "1 s s"] | None = None

    def chosen(self) -> Method:
        """The method, asked for the confidence.

        Raises:
            ValueError: there is no such method, or a number is out of range.
        """
        if self.budget is not None and not self.budget > 0:
            raise ValueError(f"the budget is a number of seconds above 0, got {self.budget:g}; leave it empty for none")
        method = load_method(self.method)
        return method if self.confidence is None else at_confidence(method, self.confidence)


@dataclass(frozen=True, eq=False)
class Growing:
    """A sight of the search.

    Attributes:
        stage: anchor, edit or judge.
        image: of the anchor the painting; of the edit what would be shown if it stopped here, shape (3, h, w).
        step: of this stage, counted from 1.
        steps: of this stage, at most.
        trail: probability of the target at each step of the edit so far.
        seconds: since it began.
    """

    stage: str
    image: Image
    step: int
    steps: int
    trail: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Grown:
    """The end of the search.

    Attributes:
        result: the counterfactual.
        record: what result.json holds.
        folder: with everything that `cfexplain explain` writes, and report.html.
        archive: all of it as one zip file.
    """

    result: Counterfactual
    record: Mapping[str, Any]
    folder: Path
    archive: Path


@dataclass(frozen=True, eq=False)
class Known:
    """A classifier that is loaded.

    Attributes:
        name: as it was asked for.
        classifier: on its device.
        oracles: independent classifiers for the verdict.
        licence: of a shipped classifier's weights; empty where it is not known.
    """

    name: str
    classifier: Classifier
    oracles: Mapping[str, Classifier]
    licence: str


class Studio:
    """Classifiers and a temporary folder, shared by all visits; use it as a context manager.

    Args:
        names: of the classifiers on offer, as in `cfexplain explain`; the first one is the default.
        device: auto, cpu, cuda, ...
        folder: for the visits' folders; it is removed by `close`. None makes one.
    """

    def __init__(
        self,
        names: Sequence[str] = ("ham10000", "synthetic"),
        device: str = "auto",
        folder: Path | None = None,
    ) -> None:
        if not names:
            raise ValueError("name at least one classifier")
        self.names, self.device = tuple(names), device
        self.folder = Path(tempfile.mkdtemp(prefix="cfexplain-app-")) if folder is None else folder
        self._known: dict[str, Known] = {}
        self._visits: dict[str, Visit] = {}
        self._lock, self._loading = threading.Lock(), threading.Lock()
        self.line: dict[str, None] = {}

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, name: str) -> Known:
        """One of the classifiers on offer, loaded once.

        Raises:
            ValueError: it is not on offer, or cannot be loaded.
        """
        if name not in self.names:
            raise ValueError(f"the classifier {name} is not on offer: choose {' or '.join(self.names)}")
        with self._loading:
            if name not in self._known:
                classifier = load_classifier(name, self.device)
                check_classifier(classifier)
                self._known[name] = Known(name, classifier, load_oracles((), name, classifier), licence_of(name) or "")
            return self._known[name]

    def visit(self, key: str) -> Visit:
        """The visit of this name, begun where it is new; beyond `MOST_VISITS` the oldest idle one ends."""
        with self._lock:
            found = self._visits.pop(key, None)
            self._visits[key] = found or Visit(self)
            idle = [k for k, v in self._visits.items() if k != key and not v.working]
            over = idle[: max(0, len(self._visits) - MOST_VISITS)]
            gone = [self._visits.pop(k) for k in over]
        for one in gone:
            one.close()
        return self._visits[key]

    def end(self, key: str) -> None:
        """End a visit: its search stops, its files go."""
        with self._lock:
            visit = self._visits.pop(key, None)
        self.line.pop(key, None)
        if visit is not None:
            visit.close()
        self._sweep()

    def queue_up(self, key: str) -> int:
        """Stand in line for a search; how many are before this one."""
        with self._lock:
            self.line.pop(key, None)
            before = len(self.line) + sum(v.working for v in self._visits.values())
            self.line[key] = None
        return before

    def close(self) -> None:
        """End all visits and remove all files."""
        visits = list(self._visits.items())
        for key, _ in visits:
            self.end(key)
        for _, visit in visits:
            visit.wait(10.0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Where nobody is left, nothing is: uploads and what a server put beside the visits go too."""
        with self._lock:
            left = [] if self._visits else [path for path in self.folder.glob("*") if not path.name.startswith(VISIT)]
            for path in left:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


class Visit:
    """One visitor's picture and what was found on it; everything on disk lies in `folder`."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.folder = Path(tempfile.mkdtemp(prefix=VISIT, dir=_made(studio.folder)))
        self.name = ""
        self.picture: Image | None = None
        self.known: Known | None = None
        self.query: Images | None = None
        self.before: Prediction | None = None
        self.working = False
        self._closed = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._examples = 0
        self._count = 0

    def read(self, path: str | Path, name: str = "") -> None:
        """Take a picture; the file at `path` is deleted, whether it could be read or not.

        Args:
            path: of the upload.
            name: that the visitor knows it by.

        Raises:
            ValueError: it cannot be read; the message says why, by the visitor's name for it.
        """
        path, name = Path(path), Path(name or path).name
        try:
            picture = files.load_picture(path)
        except files.ImageError as error:
            raise files.ImageError(str(error).replace(str(path), name)) from None
        finally:
            path.unlink(missing_ok=True)
        self._take(picture, name)

    def example(self, seed: int | None = None) -> None:
        """Take a synthetic lesion that is painted here; without a seed the next one."""
        if seed is None:
            seed, self._examples = self._examples, self._examples + 1
        lesion = _painted(seed % EXAMPLES)
        self._take(lesion.image, f"{lesion.id}.png")

    def look(self, classifier: str) -> Prediction:
        """Let a classifier see the picture.

        Raises:
            ValueError: there is no picture yet, or no such classifier.
        """
        if self.picture is None:
            raise ValueError("there is no picture yet: drop one, or take an example")
        self.known = self.studio.load(classifier)
        square = files.square(self.picture, self.known.classifier.image_size)[None]
        self.query = square.to(device_of(self.studio.device))
        self.before = predict(self.known.classifier, self.query)
        return self.before

    def chances(self) -> list[tuple[str, float]]:
        """Classes with their probabilities, the most likely first."""
        known, _, before = self._ready()
        values = before.probabilities[0].tolist()
        return sorted(zip(known.classifier.classes, values, strict=True), key=lambda pair: -pair[1])

    def outline(self) -> Float[Tensor, "1 s s"]:
        """The lesion in the classifier's square, found from its colour."""
        _, query, _ = self._ready()
        found: Tensor = segment(query)[0]
        return found

    def explain(self, ask: Ask) -> Iterator[Growing | Grown]:
        """Let the counterfactual grow: sights of it, at most one in `EVERY` seconds, and at last the result.

        Closing the iterator stops the search.

        Raises:
            ValueError: the question cannot be asked; the message says why.
            Stopped: `stop` was called.
        """
        known, query, _ = self._ready()
        if self.picture is None or self.working:
            raise ValueError("this picture is being explained already: wait, or stop it")
        region = _region(ask, self.picture, query)
        search = _Search(self, known, query, self.picture, self.name, ask, ask.chosen(), region)
        self._stop.clear()
        self._count += 1
        self.working = True
        thread = self._thread = threading.Thread(target=search.run, name="cfexplain-search", daemon=True)
        thread.start()
        try:
            yield from search.follow()
        finally:
            self._stop.set()
            thread.join()
            self.working = False
            if self._closed:
                shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop the search at its next step."""
        self._stop.set()

    def close(self) -> None:
        """Stop the search, forget the picture, remove the files."""
        self._closed = True
        self._stop.set()
        self.picture = self.query = self.before = None
        if not self.working:
            shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self, seconds: float) -> None:
        """Wait for a search that was told to stop."""
        if self._thread is not None:
            self._thread.join(seconds)

    def check(self) -> None:
        """Go on, or not.

        Raises:
            Stopped: the visitor wants no more.
        """
        if self._stop.is_set():
            raise Stopped

    def room(self) -> Path:
        """A folder for the search's record; that of the search before it goes."""
        self._forget("record-*")
        return _made(self.folder / f"record-{self._count}")

    def _ready(self) -> tuple[Known, Images, Prediction]:
        if self.known is None or self.query is None or self.before is None:
            raise ValueError("there is no picture yet: drop one, or take an example")
        return self.known, self.query, self.before

    def _take(self, picture: Image, name: str) -> None:
        self.stop()
        self._forget("anchors")
        self.picture, self.name = picture, name
        self.known = self.query = self.before = None

    def _forget(self, pattern: str) -> None:
        for path in self.folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class _Search:
    """One question, answered in a thread of its own."""

    visit: Visit
    known: Known
    query: Images
    picture: Image
    name: str
    ask: Ask
    method: Method
    region: Tensor | None
    said: queue.Queue[tuple[str, Step] | Grown | BaseException] = field(default_factory=queue.Queue)
    start: list[Images] = field(default_factory=list)

    def run(self) -> None:
        """In the thread: everything that it says, its end or its failure included, goes to `said`."""
        try:
            self.said.put(self._grow())
        except BaseException as error:  # the thread must never die without a word
            self.said.put(error)

    def follow(self) -> Iterator[Growing | Grown]:
        """Beside the thread: what it says, thinned out."""
        began, shown = time.perf_counter(), -math.inf
        trail: list[float] = []
        target = self._target()
        while True:
            said, later = self._next(trail, target)
            if said is not None and not (later and time.perf_counter() - shown < EVERY):
                shown = time.perf_counter()
                stage, step = said
                steps = self._steps(stage)
                yield Growing(stage, self._sight(stage, step), step.index + 1, steps, tuple(trail), shown - began)
            if isinstance(later, BaseException):
                raise later
            if isinstance(later, Grown):
                yield later
                return
            time.sleep(max(0.0, EVERY - (time.perf_counter() - shown)) if said is not None else 0)

    def _next(self, trail: list[float], target: int) -> tuple[tuple[str, Step] | None, Grown | BaseException | None]:
        """The latest step, and the end where it has come; waits until there is one of them."""
        latest: tuple[str, Step] | None = None
        said = self.said.get()
        while True:
            if not isinstance(said, tuple):
                return latest, said
            latest = said
            if said[0] == "edit" and not self.start:
                self.start.append(said[1].image)
            if said[0] == "edit" and said[1].prediction is not None:
                trail.append(float(said[1].prediction.probabilities[0, target]))
            try:
                said = self.said.get_nowait()
            except queue.Empty:
                return latest, None

    def _sight(self, stage: str, step: Step) -> Image:
        """The painting, or the query with the change so far, as the method shows its result."""
        if stage != "edit" or self.method.transfer == "never":
            return step.image[0].cpu()
        return (self.query + (step.image - self.start[0]))[0].clamp(0, 1).cpu()

    def _grow(self) -> Grown:
        asked = self.ask

        def watch(index: int, stage: str, step: Step) -> None:
            self.visit.check()
            self.said.put((stage, step))

        result = explain(
            self.known.classifier,
            self.query,
            asked.target,
            method=self.method,
            seed=asked.seed,
            budget=math.inf if asked.budget is None else asked.budget,
            region=self.region,
            anchors=self.visit.folder / "anchors",
            watch=watch,
        )
        self.visit.check()
        self.said.put(("judge", Step(0, result.image, None, torch.zeros(1))))
        said = evidence(result, self.known.classifier, self.known.oracles)
        self.visit.check()
        return self._kept(result, said | {"classifier": {"name": self.known.name, "licence": self.known.licence}})

    def _kept(self, result: Counterfactual, said: Mapping[str, Any]) -> Grown:
        """Write the record, the page, and both as a zip file."""
        source, target = (result.classes[int(k)] for k in (result.source, result.target))
        room = self.visit.room()
        folder = room / _plain(Path(self.name).stem)
        result.save(folder, image=self.name, picture=self.picture, extra=said)
        render(folder)
        archive = room / f"{folder.name}-{_plain(source)}-{_plain(target)}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for path in sorted(folder.iterdir()):
                packed.write(path, f"{folder.name}/{path.name}")
        return Grown(result, json.loads((folder / "result.json").read_text()), folder, archive)

    def _target(self) -> int:
        """Index of the class asked for."""
        classes = list(self.known.classifier.classes)
        if self.ask.target in classes:
            return classes.index(self.ask.target)
        return classes.index(self.visit.chances()[1][0])

    def _steps(self, stage: str) -> int:
        if stage == "judge":
            return 1
        return self.method.anchor.steps if stage == "anchor" and self.method.anchor else self.method.edit.steps


@cache
def _painted(seed: int) -> Any:
    """An example, painted once."""
    return synthetic_lesion(seed)


def _region(ask: Ask, picture: Image, query: Images) -> Tensor | None:
    """The region as the classifier's square of zeros and ones, with the batch's leading one."""
    if ask.region is None:
        return None
    if not ask.region.any():
        raise ValueError("nothing is painted: paint where the picture may change, or let it change everywhere")
    size = query.shape[-1]
    if not bool((files.resize(ask.region[None].float(), size) > 0.5).any()):
        raise ValueError("what is painted is too thin for the classifier to see: paint a larger area")
    return files.square_mask(ask.region.float(), picture, size)[None].to(query)


def _plain(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:80] or "picture"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
