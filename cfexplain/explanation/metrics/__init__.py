"""Metrics: what one is, all of them by name, and how they are evaluated; adding a file registers its functions."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Literal, TypeVar

from jaxtyping import Float
from torch import Tensor

from cfexplain.search.edit import Edit

if TYPE_CHECKING:
    import pandas as pd


Function = TypeVar("Function", bound=Callable[[Edit], "Float[Tensor, ' n'] | None"])
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """A named measure of counterfactuals, one value an image; None where it does not apply."""

    name: str
    better: Better
    unit: str
    measure: Callable[[Edit], Float[Tensor, " n"] | None]

    def __call__(self, edit: Edit) -> Float[Tensor, " n"] | None:
        """The value of each image."""
        return self.measure(edit)


METRICS: dict[str, Metric] = {}
"""All metrics by name; importing this package reads the files that register them."""


def metric(*, better: Better, unit: str) -> Callable[[Function], Function]:
    """Make a function of an edit a metric under the function's name."""

    def register(measure: Function) -> Function:
        METRICS[measure.__name__] = Metric(measure.__name__, better, unit, measure)
        return measure

    return register


def evaluate(edit: Edit) -> "pd.DataFrame":
    """All metrics of all images: one row an image, one column a metric, missing where a metric does not apply."""
    import pandas as pd

    columns = {name: found(edit) for name, found in sorted(METRICS.items())}
    values = {name: None if v is None else v.detach().cpu().tolist() for name, v in columns.items()}
    return pd.DataFrame(values, index=range(len(edit.query)))


for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")
