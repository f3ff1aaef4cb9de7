"""Metrics: what one is, all of them by name, and how they are evaluated; adding a file registers its functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
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


METRICS: dict[str, Metric] = {}
"""All metrics by name; importing this package reads the files that register them."""


def metric(*, better: Literal["higher", "lower", "neither"], unit: str) -> Callable[[Measure], Metric]:
    """Make a function of an edit a metric under the function's name."""

    def register(measure: Measure) -> Metric:
        found = Metric(measure.__name__, better, unit, measure)
        METRICS[found.name] = found
        return found

    return register


def evaluate(edit: Edit, metrics: Mapping[str, Metric] | None = None) -> "pd.DataFrame":
    """All metrics of all images: one row an image, one column a metric, missing where a metric does not apply."""
    import pandas as pd

    chosen = dict(sorted(METRICS.items())) if metrics is None else metrics
    columns = {name: found(edit) for name, found in chosen.items()}
    values = {name: None if v is None else v.detach().cpu().tolist() for name, v in columns.items()}
    return pd.DataFrame(values, index=range(len(edit.query)))


for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")
