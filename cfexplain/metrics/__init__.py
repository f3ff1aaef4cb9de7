"""Metrics: one question about a counterfactual a file; adding a file registers its functions."""

from cfexplain.metrics.metric import METRICS as METRICS
from cfexplain.metrics.metric import Edit as Edit
from cfexplain.metrics.metric import Metric as Metric
from cfexplain.metrics.metric import evaluate as evaluate
from cfexplain.metrics.metric import metric as metric

__all__ = ["METRICS", "Edit", "Metric", "evaluate", "metric"]
