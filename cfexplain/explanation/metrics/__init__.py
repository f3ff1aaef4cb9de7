"""Metrics: one question about a counterfactual a file; adding a file registers its functions."""

from cfexplain.explanation.metrics.metric import METRICS as METRICS
from cfexplain.explanation.metrics.metric import Metric as Metric
from cfexplain.explanation.metrics.metric import evaluate as evaluate
from cfexplain.explanation.metrics.metric import metric as metric
