"""The search for a counterfactual, in a thread of its own, told of beside it."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from cfexplain.app.ask import Ask
from cfexplain.app.record import Record
from cfexplain.app.shelf import Known
from cfexplain.app.sight import Growing, Grown
from cfexplain.explanation.explanation import describe
from cfexplain.explanation.record import Provenance
from cfexplain.method.stage import Method
from cfexplain.method.stop import Step
from cfexplain.search.explain import explain
from cfexplain.types import Image, Images

EVERY = 0.25
"""Seconds between two sights of a growing counterfactual, at least."""


class Stopped(Exception):
    """The visitor stopped the search, or left."""


@dataclass(frozen=True, eq=False)
class Search:
    """One question, answered.

    Attributes:
        known: the classifier that is asked.
        query: the picture as the classifier sees it.
        ask: the question.
        method: that the question chose.
        region: where the query may change; None is everywhere.
        target: index of the class whose probability is followed.
        anchors: folder of paintings that are used again.
        record: what will be written of it.
        stop: set when the visitor wants no more.
        said: by the thread, step by step; at last its end or its failure.
        start: where the edit began, once it has.
    """

    known: Known
    query: Images
    ask: Ask
    method: Method
    region: Tensor | None
    target: int
    anchors: Path
    record: Record
    stop: threading.Event
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
        while True:
            said, later = self._next(trail)
            if said is not None and not (later and time.perf_counter() - shown < EVERY):
                shown = time.perf_counter()
                stage, step = said
                steps = self._steps(stage, step.index)
                yield Growing(stage, self._sight(stage, step), step.index + 1, steps, tuple(trail), shown - began)
            if isinstance(later, BaseException):
                raise later
            if isinstance(later, Grown):
                yield later
                return
            time.sleep(max(0.0, EVERY - (time.perf_counter() - shown)) if said is not None else 0)

    def _next(self, trail: list[float]) -> tuple[tuple[str, Step] | None, Grown | BaseException | None]:
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
                trail.append(float(said[1].prediction.probabilities[0, self.target]))
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
            self._check()
            self.said.put((stage, step))

        result = explain(
            self.known.classifier,
            self.query,
            asked.target,
            method=self.method,
            seed=asked.seed,
            budget=math.inf if asked.budget is None else asked.budget,
            region=self.region,
            callback=watch,
        )
        self._check()
        self.said.put(("judge", Step(0, result.image, None, torch.zeros(1))))
        provenance = Provenance(self.record.name, self.known.name, self.known.licence)
        explanation = describe(result, self.known.classifier, self.known.oracles, provenance=provenance)
        self._check()
        return self.record.write(explanation)

    def _steps(self, stage: str, index: int) -> int:
        if stage == "judge":
            return 1
        descent = self.method.anchor if stage == "anchor" and self.method.anchor else self.method.edit
        return descent.expected(index)

    def _check(self) -> None:
        if self.stop.is_set():
            raise Stopped
