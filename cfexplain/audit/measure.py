"""Measures of an audit's rows, by name: the mean of a number per row, or a statistic of all labelled images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cfexplain.audit.row import FAILED
from cfexplain.statistics import UNKNOWN, Interval, bootstrap, bootstrap_mean, calibration_error, spearman

FEWEST = 10  # Groups of fewer lesions are not compared.


def column(rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A column as numbers; all NaN where the audit has none."""
    values = rows[name] if name in rows else pd.Series(np.nan, index=rows.index)
    return pd.to_numeric(values.astype(object).map(lambda v: None if v is None else float(v)), errors="coerce")


def keys(rows: pd.DataFrame, group: str) -> list[str]:
    """The keys of a group of columns: of `artefact.hair` and `artefact.ink` they are hair and ink."""
    return [str(c).removeprefix(f"{group}.") for c in rows if str(c).startswith(f"{group}.")]


def asked(rows: pd.DataFrame) -> pd.Series[Any]:
    """True where there was something to explain: the image was not of the target class already."""
    return rows["status"] != "already_target"


def correct(rows: pd.DataFrame) -> pd.Series[Any]:
    """1 where the predicted class is the label, else 0; NaN without a label or a prediction."""
    return (rows["label"] == rows["source"]).astype(float).where(rows[["label", "source"]].notna().all(axis=1))


def one_per_image(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per image and classifier, for what does not depend on the target."""
    return rows[rows["status"] != FAILED].drop_duplicates(["image_id", "classifier"])


def _share(name: str, value: str) -> Callable[[pd.DataFrame], pd.Series[Any]]:
    return lambda rows: (rows[name] == value).astype(float).where(asked(rows))


def _of_found(name: str) -> Callable[[pd.DataFrame], pd.Series[Any]]:
    return lambda rows: column(rows, name).where(rows["status"] == "found")


VERDICTS = ("semantic", "unconfirmed", "fragile", "adversarial")
# Measures that are means of a number per row, or per image; so are all metrics, over the found rows.
VALUES: Mapping[str, Callable[[pd.DataFrame], pd.Series[Any]]] = {
    "found": _share("status", "found"),
    "failed": lambda rows: (rows["status"] == FAILED).astype(float),
    **{kind: _share("verdict", kind) for kind in VERDICTS},
    "robust": _of_found("robust.together"),
    "oracle_agreement": _of_found("oracle_agreement"),
    "naturalness": _of_found("naturalness"),
    "accuracy": lambda rows: correct(one_per_image(rows)),
}


def values(rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    """The numbers whose mean is the measure, by row."""
    return VALUES.get(name, _of_found(f"metric.{name}"))(rows)


def measure(rows: pd.DataFrame, name: str) -> Interval:
    """A measure of some rows: one of `VALUES` or `STATISTICS`, or a metric."""
    if name not in STATISTICS:
        numbers = values(rows, name)
        return bootstrap_mean(numbers, rows.loc[numbers.index, "lesion_id"])
    labelled = _labelled(one_per_image(rows))
    if len(labelled) < FEWEST:
        return UNKNOWN
    return bootstrap(lambda drawn: STATISTICS[name](labelled.iloc[drawn]), labelled["lesion_id"])


def line(measure: str, group: str, interval: Interval) -> dict[str, Any]:
    """An interval as a row of a table: measure, group, n, mean, low, high."""
    return {"measure": measure, "group": group} | vars(interval)


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """What the statistics need of the labelled images: few columns, since they are resampled many times."""
    known = rows[correct(rows).notna()]
    probabilities = zip(known["probabilities"].map(json.loads), known["label"], strict=True)
    return pd.DataFrame(
        {
            "lesion_id": known["lesion_id"],
            "label": known["label"].astype(object),
            "right": correct(known),
            "confidence": column(known, "source_before"),
            "estimated_loss": column(known, "estimated_loss"),
            "true_loss": [-np.log(max(p[label], 1e-12)) for p, label in probabilities],
        }
    )


def _ranking(rows: pd.DataFrame) -> float:
    pairs = rows[["estimated_loss", "true_loss"]].dropna()
    return spearman(pairs["estimated_loss"], pairs["true_loss"]) if len(pairs) >= FEWEST else np.nan


def _tells_errors(rows: pd.DataFrame) -> float:
    """Area under the ROC curve with which the estimated loss separates wrong predictions from right ones."""
    from sklearn.metrics import roc_auc_score

    known = rows[rows["estimated_loss"].notna()]
    return float(roc_auc_score(1 - known["right"], known["estimated_loss"])) if known["right"].nunique() > 1 else np.nan


STATISTICS: Mapping[str, Callable[[pd.DataFrame], float]] = {  # Measures of the labelled images as a whole.
    "balanced_accuracy": lambda rows: float(rows["right"].groupby(rows["label"]).mean().mean()),
    "calibration_error": lambda rows: calibration_error(rows["confidence"], rows["right"]),
    "estimator_ranking": _ranking,
    "estimator_tells_errors": _tells_errors,
}
