"""What a metric is, and how all of them are evaluated."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jaxtyping import Float
from torch import Tensor

from cfexplain.search.edit import Edit

if TYPE_CHECKING:
    import pandas as pd


Measure = Callable[[Edit], "Float[Tensor, ' n'] | None"]


@dataclass(frozen=True)
class Metric:
    """A named measure of counterfactuals, one value an image; None where it does not apply."""

    name: str
    better: Literal["higher", "lower", "neither"]
    unit: str
    measure: Measure

    def __call__(self, edit: Edit) -> Float[Tensor, " n"] | None:
        """The value of each image."""
        return self.measure(edit)


class _Metrics(MutableMapping[str, Metric]):
    """All metrics by name; the files of this package are read when they are first asked for."""

    def __init__(self) -> None:
        self._found: dict[str, Metric] = {}
        self._read = False

    def __setitem__(self, name: str, found: Metric) -> None:
        self._found[name] = found

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __getitem__(self, name: str) -> Metric:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all()))

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, Metric]:
        if not self._read:
            self._read = True
            for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
                import_module(f"cfexplain.explanation.metrics.{module.name}")
        return self._found


METRICS = _Metrics()


def metric(*, better: Literal["higher", "lower", "neither"], unit: str) -> Callable[[Measure], Metric]:
    """Make a function of an edit a metric under the function's name."""

    def register(measure: Measure) -> Metric:
        found = Metric(measure.__name__, better, unit, measure)
        METRICS[found.name] = found
        return found

    return register


def evaluate(edit: Edit, metrics: Mapping[str, Metric] = METRICS) -> pd.DataFrame:
    """All metrics of all images: one row an image, one column a metric, missing where a metric does not apply."""
    import pandas as pd

    columns = {name: found(edit) for name, found in metrics.items()}
    values = {name: None if v is None else v.detach().cpu().tolist() for name, v in columns.items()}
    return pd.DataFrame(values, index=range(len(edit.query)))
