"""(a) Joint against post hoc heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cfexplain_classifiers import folded, load
from estimator_study.bench import Bench, bench
from estimator_study.case import Case
from estimator_study.head import JOINT, SEEDS, SOFTMAX, heads
from estimator_study.interval import bootstrapped
from estimator_study.results import OUT, RUN, write
from estimator_study.seen import Array, Seen, fit_facts
from estimator_study.sets import ham10000, ham10000_sets


def posthoc() -> None:
    """Joint against post hoc heads on the features of the shipped classifier."""
    network, samples = folded(load("ham10000")), ham10000("test")
    sets, judged = ham10000_sets(network), bench(network, samples, RUN / "ham10000")
    lesions = pd.factorize(samples.table["lesion_id"])[0]
    fitted = [heads(network, sets, seed) for seed in SEEDS]
    cases = {name: [judged.case(h[name]) for h in (fitted[:1] if name == JOINT else fitted)] for name in fitted[0]}
    cases[SOFTMAX] = [judged.case(Seen.confidence)]
    found = bootstrapped(cases, lesions, [(JOINT, name) for name in cases if name != JOINT])
    found["fitted on"] = {k: fit_facts(v) for k, v in sets.items()} | {"test": fit_facts(judged.test)}
    write("posthoc", found)
    write_rows(samples, lesions, judged, cases)


def write_rows(samples: Any, lesions: Array, judged: Bench, cases: Mapping[str, Sequence[Case]]) -> None:
    """The test images with their true losses and estimates."""
    rows = pd.DataFrame({"image": samples.table.index, "lesion": lesions, "true_loss": judged.test.true.numpy()})
    rows["wrong"], rows[SOFTMAX] = cases[JOINT][0].wrong.astype(int), judged.test.confidence()
    rows = rows.assign(**{name: case[0].home for name, case in cases.items() if name != SOFTMAX})
    rows.to_csv(OUT / "test_rows.csv", index=False, float_format="%.4g")
