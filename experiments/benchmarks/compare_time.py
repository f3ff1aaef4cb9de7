"""What a comparison of attribution maps costs: eight maps of one lesion, beside its counterfactual.

    python experiments/benchmarks/compare_time.py            3 minutes on 2 cores; writes results/benchmarks/compare_time.*

The first lesions of the study's list, each with its second most likely class and the default method's counterfactual,
which the comparison is given and whose own time is stated beside it. The maps attribute the predicted class, as
`cfexplain compare` does; `compare` measures them and the two references, swapping pixels included; nothing is drawn or
written. Seconds, median and range over lesions; the first lesion runs once before, uncounted, to warm the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, TypeVar

from machine import keep, manifest, questions
from torch import Tensor

import cfexplain

T = TypeVar("T")
EIGHT = (
    "saliency",
    "input-x-gradient",
    "integrated-gradients",
    "smoothgrad",
    "gradcam",
    "gradient-shap",
    "occlusion",
    "superpixels",
)
GIVEN, COMPARED, TOGETHER = "the counterfactual, given", "compare", "eight maps and compare"


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What a call answers, and its seconds."""
    began = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - began


def spent(classifier: Any, found: cfexplain.Edit) -> dict[str, float]:
    """Seconds of each map, of the comparison, and of all of these."""
    maps: dict[str, Tensor] = {}
    seconds: dict[str, float] = {}
    for name in EIGHT:
        maps[name], seconds[name] = timed(lambda n=name: cfexplain.attribute(classifier, found.query, found.source, n))
    _, seconds[COMPARED] = timed(lambda: cfexplain.compare(found, maps, classifier=classifier))
    return seconds | {TOGETHER: sum(seconds.values())}


def lesions(count: int, size: int) -> list[dict[str, Any]]:
    """One record a lesion."""
    (classifier, images, asked), records = questions(count, size), []
    names = [lesion.id for lesion in manifest()[:count]]
    for k in (0, *range(count)):  # the first warms the machine
        found, explained = timed(lambda k=k: cfexplain.explain(classifier, images[[k]], asked[k]))
        records.append({"image": names[k], "found": found.found[0], GIVEN: explained} | spent(classifier, found))
        print(records[-1], flush=True)
    return records[1:]


def summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Median and range of each part."""
    rows = []
    for part in (GIVEN, *EIGHT, COMPARED, TOGETHER):
        seconds = [record[part] for record in records]
        numbers = {"median, s": statistics.median(seconds), "least, s": min(seconds), "most, s": max(seconds)}
        rows.append({"part": part, "n": len(seconds)} | {name: round(value, 2) for name, value in numbers.items()})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lesions", type=int, default=5)
    parser.add_argument("--size", type=int, default=128)
    args = parser.parse_args()
    records = lesions(args.lesions, args.size)
    keep("compare_time", summary(records), pixels=args.size, lesions=records)


if __name__ == "__main__":
    main()
