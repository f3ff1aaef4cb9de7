"""Auditing by the names that people type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cfexplain.audit import Audit, Section, audit, local, on_cores, on_ray
from cfexplain.audit.engine import Engine, usable_cores
from cfexplain.audit.question import chosen
from cfexplain.audit.rule import Rule
from cfexplain.classifier.checks import check_classifier
from cfexplain.cli.command.lookup import device_of, load_classifier, load_method, load_oracles, make_folder
from cfexplain.types import Classifier

COMPARED = 20_000
"""Pictures of a data set that are read to find photographs which the audited images share with other splits: a minute
or two. In larger ones only the lesions are compared."""

ENGINES, MANY = ("auto", "local", "cores", "ray"), 8
"""Who may answer, and from how many images on "auto" takes every core."""

SHARED = {
    "lesion": "pairs of one lesion in this split and another",
    "identical": "pairs of one file in this split and another",
    "near-duplicate": "pairs of one photograph in this split and another",
}


@dataclass(frozen=True)
class AuditJob:
    """What the command line asks for."""

    data: Path
    dataset: str
    split: str
    classifiers: tuple[str, ...]
    target: str
    method: str
    oracles: tuple[str, ...]
    limit: int | None
    seed: int
    budget: float | None
    batch: int
    engine: str
    ray_address: str | None
    workers: int
    cores: int
    rules: tuple[str, ...]
    anchors: Path | None
    device: str
    out: Path

    def run(self, progress: Callable[[int, int], object] | None) -> Audit:
        """Check all that can be checked, then audit."""
        for rule in self.rules:
            Rule.parse(rule)
        self._check_engine()
        method, samples = load_method(self.method), self._samples()
        classifiers = self._classifiers()
        first = next(iter(classifiers.values()))
        others = load_oracles(self.oracles, self.classifiers[0], first)
        make_folder(self.out)
        return audit(
            classifiers,
            samples,
            self.out,
            target=self.target,
            method=method,
            oracles={name: oracle for name, oracle in others.items() if name not in classifiers},
            names=import_module("cfexplain_datasets.lesion").OTHER_NAMES,
            seed=self.seed,
            limit=self.limit,
            budget=math.inf if self.budget is None else self.budget,
            batch=self.batch,
            engine=self._engine(len(samples) if self.limit is None else min(self.limit, len(samples))),
            rules=self.rules,
            anchors=self.anchors,
            data=self._said_of(samples),
            progress=progress,
        )

    def _check_engine(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"there is no engine {self.engine}: use {', '.join(ENGINES)}")
        if self.engine == "cores" and device_of(self.device).type == "cuda":
            raise ValueError("the engine cores is for the CPU: use --device cpu, or --engine local with --batch")

    def _engine(self, images: int) -> Engine:
        """Who answers; "auto" is worker processes where these save more than the seconds that they take to start."""
        on_gpu = device_of(self.device).type == "cuda"
        if self.engine == "cores" or (self.engine == "auto" and not on_gpu and images >= MANY and usable_cores() > 1):
            return on_cores(cores=self.cores)
        if self.engine in ("auto", "local"):
            return local
        return on_ray(self.ray_address, cores=self.cores, gpus=1 / max(1, self.workers) if on_gpu else 0)

    def _whole(self) -> Any:
        """The data set, with all of its own splits."""
        return import_module("cfexplain_datasets").open_dataset(self.dataset, self.data)

    def _samples(self) -> Any:
        """The split that is audited; pictures that cannot be read are rows later."""
        whole, split = self._whole(), self.split
        if split == "auto":
            split = "test" if "test" in set(whole.table["split"]) else "all"
        if split == "all":
            return whole
        samples = whole.subset(split)
        if len(samples) == 0:
            raise ValueError(f"the data set has no images in the split {split}: use --split all")
        return samples

    def _classifiers(self) -> dict[str, Classifier]:
        """By the name that they were asked for by."""
        found: dict[str, Classifier] = {}
        for given in self.classifiers:
            name = given if ":" in given else Path(given).name.removesuffix(".safetensors")
            if name in found:
                raise ValueError(f"two classifiers are called {name}: rename one")
            found[name] = load_classifier(given, self.device)
            check_classifier(found[name])
        return found

    def _said_of(self, samples: Any) -> Section:
        """Leaks, near-duplicates and oddities of what is audited."""
        audited = samples.select(samples.table.index[chosen(samples, self.limit)])
        return data_section(import_module("cfexplain_datasets.check").check(audited), leaks(self._whole(), audited))


def leaks(whole: Any, audited: Any) -> dict[str, list[str] | None]:
    """What the audited images share with other splits, by kind: pairs, None where nobody looked.

    Photographs are compared by reading every picture of the data set once, up to `COMPARED` of them.
    """
    if not whole.table["split"].notna().any():
        return {}
    looked = len(whole) <= COMPARED
    parted = import_module("cfexplain_datasets.splits").check_split(whole, twins=None if looked else [])
    here, lesion = set(audited.table["lesion_id"]), whole.table["lesion_id"]
    ours = [leak for leak in parted if here & {lesion[leak.first], lesion[leak.second]}]
    found: dict[str, list[str] | None] = {"lesion": [], "identical": [], "near-duplicate": []}
    for leak in ours:
        found[leak.kind].append(str(leak))  # type: ignore[union-attr]
    return found if looked else found | {"identical": None, "near-duplicate": None}


def data_section(report: Any, shared: Mapping[str, Sequence[str] | None]) -> Section:
    """The report of `cfexplain data check` as the first section of an audit, after what other splits share."""
    import pandas as pd

    rows: list[dict[str, object]] = [
        {"finding": "images", "count": report.images, "which": f"of {report.lesions} lesions"},
        {"finding": "with a mask", "count": report.masks, "which": ""},
    ]
    rows += [{"finding": f"class {name}", "count": count, "which": ""} for name, count in report.classes.items()]
    rows += [_shared(SHARED[kind], pairs) for kind, pairs in shared.items()]
    rows += [{"finding": f["what"], "count": f["count"], "which": _listed(f["which"])} for f in _findings(report)]
    rows += [
        {"finding": f"{name} goes with the label", "count": None, "which": f"Cramér's V {value:.2f}"}
        for name, value in report.shortcuts.items()
    ]
    note = "Leaks and near-duplicates make numbers look better than they are; a column that goes with the label can be "
    note += "learned in the lesion's place."
    return Section("data", "What is in the data?", note, "table", pd.DataFrame(rows))


def _shared(what: str, pairs: Sequence[str] | None) -> dict[str, object]:
    if pairs is None:
        return {"finding": what, "count": None, "which": "not looked for: cfexplain data check reads every picture"}
    return {"finding": what, "count": len(pairs), "which": _listed(pairs)}


def _findings(report: Any) -> list[dict[str, Any]]:
    plain = report.to_dict()
    return [*plain["intake"], *plain["oddities"]]


def _listed(items: Sequence[object], most: int = 5) -> str:
    some = ", ".join(str(item) for item in items[:most])
    return some if len(items) <= most else f"{some} and {len(items) - most} more"


def outcome_text(done: Audit) -> str:
    """The outcome of an audit in a few lines."""
    lines = [f"{done.summary.facts['rows']} rows in {done.folder}"]
    for check in done.summary.checks:
        known = "" if check.value is None else f" {check.value:.3f} [{check.low:.3f}, {check.high:.3f}], n = {check.n}"
        lines.append(f"{check.outcome}: {check.rule} ({check.note}){known}")
    return "\n".join(lines)
