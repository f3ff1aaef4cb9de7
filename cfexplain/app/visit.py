"""What one visit does, without a page: read a picture, predict it, let the counterfactual grow, keep the record."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from cfexplain import images as files
from cfexplain.app.ask import Ask
from cfexplain.app.record import Record
from cfexplain.app.search import Search
from cfexplain.app.shelf import Known, Shelf
from cfexplain.app.sight import Growing, Grown
from cfexplain.classifier.checks import predict
from cfexplain.classifier.sources import device_of, synthetic_lesion
from cfexplain.dermoscopy.segment import segment
from cfexplain.types import Image, Images, Prediction

VISIT = "visit-"
"""How the folders of visits begin."""

EXAMPLES = 20
"""Painted lesions to choose from."""


class Visit:
    """One visitor's picture and what was found on it; everything on disk lies in `folder`.

    Args:
        shelf: of the classifiers on offer.
        folder: in which the visit's own is made.
    """

    def __init__(self, shelf: Shelf, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.shelf, self.folder = shelf, Path(tempfile.mkdtemp(prefix=VISIT, dir=folder))
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
        self.known = self.shelf.load(classifier)
        square = files.square(self.picture, self.known.classifier.image_size)[None]
        self.query = square.to(device_of(self.shelf.device))
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
        search = self._search(ask)
        self._stop.clear()
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

    def _ready(self) -> tuple[Known, Images, Prediction]:
        if self.known is None or self.query is None or self.before is None:
            raise ValueError("there is no picture yet: drop one, or take an example")
        return self.known, self.query, self.before

    def _search(self, ask: Ask) -> Search:
        known, query, _ = self._ready()
        if self.picture is None or self.working:
            raise ValueError("this picture is being explained already: wait, or stop it")
        region, method = ask.within(self.picture, query), ask.chosen()
        classes = list(known.classifier.classes)
        target = classes.index(ask.target if ask.target in classes else self.chances()[1][0])
        self._count += 1
        record = Record(self.folder, self._count, self.name, self.picture)
        return Search(known, query, ask, method, region, target, self.folder / "anchors", record, self._stop)

    def _take(self, picture: Image, name: str) -> None:
        self.stop()
        shutil.rmtree(self.folder / "anchors", ignore_errors=True)
        self.picture, self.name = picture, name
        self.known = self.query = self.before = None


@cache
def _painted(seed: int) -> Any:
    """An example, painted once."""
    return synthetic_lesion(seed)
