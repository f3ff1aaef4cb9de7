"""The audit: plan, ask what has no answer yet, keep each row, sum up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cfexplain.audit.engine import Engine, local
from cfexplain.audit.question import EACH, Plan, Question, Samples, chosen, fingerprint, images_digest, questions
from cfexplain.audit.row import Examiner
from cfexplain.audit.section import Section, Summary
from cfexplain.audit.store import Store, read_rows
from cfexplain.audit.summary import summarise
from cfexplain.classifier.checks import check_classifier, class_index, device_of_weights, predict
from cfexplain.method.presets import NATURAL
from cfexplain.method.settings import settings_of
from cfexplain.method.stage import Method
from cfexplain.types import Classifier, Problem

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int], object]
"""Called as progress(rows that are there, rows in all)."""


@dataclass(frozen=True, eq=False)
class Audit:
    """A finished audit, or as much of it as is there; it lives in its folder.

    Attributes:
        folder: with rows/, cases/, audit.json and summary.json.
        summary: what it says.
    """

    folder: Path
    summary: Summary

    @property
    def rows(self) -> pd.DataFrame:
        """One row a question, by image, classifier and what was asked."""
        return read_rows(self.folder)

    @classmethod
    def load(cls, folder: str | Path) -> Audit:
        """An audit that was made before."""
        return cls(Path(folder), Summary.load(Path(folder) / "summary.json"))


def audit(
    classifiers: Classifier | Mapping[str, Classifier],
    samples: Samples,
    out: str | Path,
    *,
    target: str = "auto",
    method: Method = NATURAL,
    oracles: Mapping[str, Classifier] | None = None,
    names: Mapping[str, str] | None = None,
    seed: int = 0,
    limit: int | None = None,
    budget: float = math.inf,
    batch: int = 1,
    engine: Engine = local,
    rules: Sequence[str] = (),
    anchors: str | Path | None = None,
    data: Section | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Explain every image of a data set, keep a row of each, and say what changes the classifiers' minds.

    Started again with the same settings and folder, it goes on where it was stopped or killed.

    Args:
        classifiers: one, or several by name; all of them are asked about every image.
        samples: a data set of `cfexplain_datasets`, or anything with `table`, `len` and `[i]` like it.
        out: the audit's folder.
        target: "auto" for the second most likely class, a class name, or "each" for every class.
        method: of the counterfactuals.
        oracles: independent classifiers by name, that only judge; classifiers under audit judge each other too.
        names: what the classifiers call labels that the data set calls otherwise, {"nevus": "nv"}.
        seed: of noise and weights.
        limit: so many images, chosen by the hash of their names.
        budget: seconds a question.
        batch: questions answered together, for a GPU.
        engine: `local`, `on_cores()` or `on_ray(...)`.
        rules: what must not hold, such as "found<0.9"; see `cfexplain.audit.rule`.
        anchors: a folder of kept anchors, see `explain`.
        data: what is to be said of the data first, such as leaks and duplicates.
        progress: called after every group of rows.

    Returns:
        The `Audit`; `audit.summary.outcome` is pass, warn or fail.

    Raises:
        ValueError: settings are not usable, or the folder holds an audit with other settings.

    Example:
        >>> import cfexplain_classifiers, cfexplain_datasets  # doctest: +SKIP
        >>> samples = cfexplain_datasets.open_dataset("auto", "data/")  # doctest: +SKIP
        >>> audit(cfexplain_classifiers.load("ham10000"), samples, "out/audit", limit=100)  # doctest: +SKIP
    """
    from cfexplain.audit.rule import Rule

    named = dict(classifiers) if isinstance(classifiers, Mapping) else {"classifier": classifiers}
    held = [Rule.parse(text) for text in rules]
    for classifier in named.values():
        check_classifier(classifier)
        _check_method(classifier, method)
        if target not in ("auto", EACH):
            class_index(classifier, target)
    twice = samples.table.index[samples.table.index.duplicated()]
    if len(twice):
        raise ValueError(f"images must have names of their own; {len(twice)} share one, such as {twice[0]}")
    indices = chosen(samples, limit)
    asked = list(questions(samples, indices, named, target))
    plan = Plan(
        classifiers={name: fingerprint(c) for name, c in named.items()},
        oracles={name: fingerprint(c) for name, c in (oracles or {}).items()},
        target=target,
        method=settings_of(method),
        seed=seed,
        budget=None if math.isinf(budget) else budget,
        images=len(indices),
        ids=images_digest(samples, indices),
        names=names or {},
    )
    kept = None if anchors is None else Path(anchors).resolve()
    examiner = Examiner(named, oracles or {}, samples, method, seed, budget, names or {}, kept)
    out = Path(out)
    store, started = Store(out, plan), time.perf_counter()
    with store.writing():
        done = store.done()
        if progress is not None:
            progress(len(done), len(asked))
        open_questions = [question for question in asked if question.key not in done]
        count = len(done)
        for rows in engine(examiner, _groups(open_questions, batch)):
            store.add(rows)
            count += len(rows)
            if progress is not None:
                progress(count, len(asked))
        facts = _facts(plan, named, time.perf_counter() - started)
        summary = summarise(read_rows(out), out, named, facts, held, data)
        summary.save(out / "summary.json")
    return Audit(out, summary)


def _check_method(classifier: Classifier, method: Method) -> None:
    """Refuse a method that cannot work with a classifier now: later every row would only say that it failed."""
    grey = torch.full((1, 3, classifier.image_size, classifier.image_size), 0.5, device=device_of_weights(classifier))
    method.edit.objective.check(Problem(grey, classifier, predict(classifier, grey), torch.zeros(1, dtype=torch.long)))


def _groups(asked: Sequence[Question], batch: int) -> list[list[Question]]:
    """Questions to one classifier, `batch` at a time."""
    if batch == 1:
        return [[question] for question in asked]
    by_name = sorted(asked, key=lambda question: question.classifier)
    runs = [list(run) for _, run in groupby(by_name, key=lambda question: question.classifier)]
    return [run[i : i + batch] for run in runs for i in range(0, len(run), batch)]


def _facts(plan: Plan, classifiers: Mapping[str, Any], seconds: float) -> dict[str, str]:
    """What the summary says of the run."""
    from cfexplain.version import versions

    found = versions()
    return {
        "classifiers": ", ".join(classifiers),
        "oracles": ", ".join(plan.oracles) or "none",
        "target": {"auto": "the second most likely class", EACH: "every class"}.get(plan.target, plan.target),
        "method": str(plan.method.get("name", "")),
        "images": str(plan.images),
        "seed": str(plan.seed),
        "seconds of the last start": f"{seconds:.0f}",
        "cfexplain": found["cfexplain"],
        "torch": found["torch"],
    }
