"""The audit: explain the items without a row, store each row, summarise."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from cfexplain.audit import store
from cfexplain.audit.engine import Engine, local
from cfexplain.audit.item import EACH, Samples, batches, chosen, items
from cfexplain.audit.measure import column
from cfexplain.audit.rule import Rule
from cfexplain.audit.section import Section, Summary
from cfexplain.audit.sections import Results, all_sections
from cfexplain.audit.settings import settings
from cfexplain.audit.worker import Worker
from cfexplain.classifier.checks import check_classifier, class_index, device_of_weights, predict
from cfexplain.method.presets import NATURAL
from cfexplain.method.stage import Method
from cfexplain.types import Classifier, Problem
from cfexplain.version import versions

TARGETS = {"auto": "the second most likely class", EACH: "every class"}


@dataclass(frozen=True, eq=False)
class Audit:
    """An audit, finished or not, in its folder.

    Attributes:
        folder: with rows/, cases/, audit.json and summary.json.
        summary: of the rows.
    """

    folder: Path
    summary: Summary

    @property
    def rows(self) -> pd.DataFrame:
        """One row per item, by image, classifier and target; see `cfexplain.audit.columns`."""
        return store.read_rows(self.folder)

    @classmethod
    def load(cls, folder: str | Path) -> "Audit":
        """An earlier audit."""
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
    data: Section | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Audit:
    """Explain every image of a data set, store a row of each, and summarise what flips the classifiers' predictions.

    Started again with the same settings and folder, it continues where it was stopped or killed.

    Args:
        classifiers: one, or several by name; each explains every image.
        samples: a data set of `cfexplain_datasets`, or anything with a `table` and `[i]` like it.
        out: the audit's folder.
        target: "auto" for the second most likely class, a class name, or "each" for every class.
        method: of the counterfactuals.
        oracles: independent classifiers by name, that only judge; audited classifiers judge each other too.
        names: the classifiers' names of labels that the data set names differently, such as {"nevus": "nv"}.
        seed: of noise and weights.
        limit: number of images, chosen by the hash of their names.
        budget: seconds per item.
        batch: items that are explained together, for a GPU.
        engine: `local`, `on_cores()` or `on_ray(...)`.
        rules: what must not hold, such as "found<0.9"; see `cfexplain.audit.rule`.
        data: first section of the summary, such as leaks and duplicates in the data.
        progress: called after every batch with the numbers of finished and of all rows.

    Returns:
        The `Audit`; `audit.summary.outcome` is pass, warn or fail.

    Raises:
        ValueError: settings are not usable, or the folder holds an audit with other settings.

    Example:
        >>> import cfexplain_classifiers, cfexplain_datasets  # doctest: +SKIP
        >>> samples = cfexplain_datasets.open_dataset("auto", "data/")  # doctest: +SKIP
        >>> audit(cfexplain_classifiers.load("ham10000"), samples, "out/audit", limit=100)  # doctest: +SKIP
    """
    named = dict(classifiers) if isinstance(classifiers, Mapping) else {"classifier": classifiers}
    parsed = [Rule.parse(text) for text in rules]
    for classifier in named.values():
        _check(classifier, target, method)
    twice = samples.table.index[samples.table.index.duplicated()]
    if len(twice):
        raise ValueError(f"images must have names of their own; {len(twice)} share one, such as {twice[0]}")
    worker = Worker(named, oracles or {}, samples, method, seed, budget, names or {})
    indices, started, out = chosen(samples, limit), time.perf_counter(), Path(out)
    with store.writing(out, settings(worker, target, indices)):
        every, done = list(items(samples, indices, named, target)), store.done(out)
        count, waiting = len(done), [item for item in every if item.key not in done]
        report = progress or (lambda done, total: None)
        report(count, len(every))
        for results in engine(worker, batches(waiting, batch)):
            store.add(out, results)
            count += len(results)
            report(count, len(every))
        facts = {
            "classifiers": ", ".join(named),
            "oracles": ", ".join(worker.oracles) or "none",
            "target": TARGETS.get(target, target),
            "method": method.name,
            "images": str(len(indices)),
            "seed": str(seed),
            "seconds of the last start": f"{time.perf_counter() - started:.0f}",
            "cfexplain": versions()["cfexplain"],
            "torch": versions()["torch"],
        }
        summary = _summary(Results(store.read_rows(out), list(named), out), facts, parsed, data)
        summary.save(out / "summary.json")
    return Audit(out, summary)


def _summary(results: Results, facts: Mapping[str, str], rules: Sequence[Rule], data: Section | None) -> Summary:
    seconds = column(results.rows, "seconds").sum()
    facts = {**facts, "rows": str(len(results.rows)), "seconds of all rows": f"{seconds:.0f}"}
    checks = [rule.check(results.of(name), name) for rule in rules for name in results.classifiers]
    first = [] if data is None or data.frame.empty else [data]
    return Summary(facts, checks, [*first, *(all_sections(results) if len(results.rows) else [])])


def _check(classifier: Classifier, target: str, method: Method) -> None:
    """Refuse what would make every row fail."""
    check_classifier(classifier)
    grey = torch.full((1, 3, *[classifier.image_size] * 2), 0.5, device=device_of_weights(classifier))
    target_index = torch.zeros(1, dtype=torch.long)
    method.edit.objective.check(Problem(grey, classifier, predict(classifier, grey), target_index))
    if target not in TARGETS:
        class_index(classifier, target)
