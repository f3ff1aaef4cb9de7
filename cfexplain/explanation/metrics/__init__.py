"""Metrics: adding a file registers its functions."""

from importlib import import_module
from pkgutil import iter_modules

from cfexplain.explanation.metrics.metric import METRICS as METRICS
from cfexplain.explanation.metrics.metric import Metric as Metric
from cfexplain.explanation.metrics.metric import evaluate as evaluate
from cfexplain.explanation.metrics.metric import metric as metric

for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")
