"""What can be asked of an audit's rows: a name, a number an image, and how several become one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from cfexplain.audit.interval import UNKNOWN, Interval, mean_of, statistic_of
from cfexplain.audit.row import FAILED

if TYPE_CHECKING:
    import pandas as pd

Values = Callable[["pd.DataFrame"], "pd.Series[Any]"]

FEWEST = 10
"""Groups of fewer rows are not compared."""


def column(rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A column as numbers, all unknown where the audit has none."""
    import pandas as pd

    if name not in rows:
        return pd.Series(np.nan, index=rows.index, dtype=float)
    return pd.to_numeric(rows[name].astype(object).map(lambda v: None if v is None else float(v)), errors="coerce")


def named(rows: pd.DataFrame, prefix: str) -> list[str]:
    """What follows the prefix in the names of the columns that have it."""
    return [str(c).removeprefix(prefix) for c in rows if str(c).startswith(prefix)]


def asked(rows: pd.DataFrame) -> pd.Series[Any]:
    """True for the rows that put a question: not those whose image was of the target class already."""
    return rows["status"] != "already_target"


def found(rows: pd.DataFrame) -> pd.Series[Any]:
    """1 where a counterfactual was found, 0 where none was, or the image failed; unknown where none was asked for."""
    return (rows["status"] == "found").astype(float).where(asked(rows))


def _kind(name: str) -> Values:
    return lambda rows: (rows["verdict"] == name).astype(float).where(asked(rows)) if "verdict" in rows else found(rows)


def correct(rows: pd.DataFrame) -> pd.Series[Any]:
    """1 where the predicted class is the label, 0 where not; unknown without a label."""
    known = rows["label"].notna() & rows["source"].notna() if "source" in rows else rows["label"].notna() & False
    return (rows["label"] == rows.get("source")).astype(float).where(known)


def _robust(rows: pd.DataFrame) -> pd.Series[Any]:
    return column(rows, "robust.together").where(rows["status"] == "found")


def _of_found(name: str) -> Values:
    return lambda rows: column(rows, name).where(rows["status"] == "found")


VALUES: Mapping[str, Values] = MappingProxyType(
    {
        "found": found,
        "failed": lambda rows: (rows["status"] == FAILED).astype(float),
        "semantic": _kind("semantic"),
        "unconfirmed": _kind("unconfirmed"),
        "fragile": _kind("fragile"),
        "adversarial": _kind("adversarial"),
        "robust": _robust,
        "oracle_agreement": _of_found("oracle_agreement"),
        "inside_lesion": _of_found("metric.inside_lesion"),
        "mean_change": _of_found("metric.mean_change"),
        "naturalness": _of_found("naturalness"),
        "accuracy": correct,
    }
)
"""Measures that are means of one number a row; those about a class's label are taken once an image."""


def one_an_image(rows: pd.DataFrame) -> pd.DataFrame:
    """A row an image and classifier, for what does not depend on the target."""
    return rows[rows["status"] != FAILED].drop_duplicates(["image_id", "classifier"])


def measure(rows: pd.DataFrame, name: str) -> Interval:
    """A measure of some rows by name.

    Raises:
        ValueError: there is no such measure.
    """
    if name in VALUES:
        some = one_an_image(rows) if name == "accuracy" else rows
        return mean_of(VALUES[name](some), some["lesion_id"])
    if name in STATISTICS:
        some = _labelled(one_an_image(rows))
        return statistic_of(some, STATISTICS[name]) if len(some) >= FEWEST else UNKNOWN
    raise ValueError(f"there is no measure {name}: use {', '.join((*VALUES, *STATISTICS))}")


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """What the statistics need of the labelled images: few columns, for they are drawn again many times."""
    import pandas as pd

    known = rows[rows["label"].notna()] if {"label", "source"} <= set(rows) else rows.iloc[:0]
    return pd.DataFrame(
        {
            "lesion_id": known["lesion_id"],
            "label": known["label"].astype(object),
            "right": correct(known),
            "confidence": column(known, "source_before"),
            "estimated_loss": column(known, "estimated_loss"),
            "true_loss": true_loss(known),
        }
    )


def _balanced_accuracy(rows: pd.DataFrame) -> float:
    return float(rows["right"].groupby(rows["label"]).mean().mean())


def _calibration_error(rows: pd.DataFrame) -> float:
    """Expected calibration error of the predicted class in ten bins of equal count, less what chance alone makes.

    A perfectly calibrated classifier scores sum_b (n_b / n) sqrt(2 v_b / (pi n_b)) by chance, v_b the mean of
    p (1 - p) in the bin: .07 with 200 images. It is taken off in squares.
    """
    confidence, right = rows["confidence"].to_numpy(), rows["right"].to_numpy()
    order = np.argsort(confidence, kind="stable")
    bins = [b for b in np.array_split(order, 10) if len(b)]
    error = sum(len(b) * abs(confidence[b].mean() - right[b].mean()) for b in bins) / len(order)
    noise = [2 * (confidence[b] * (1 - confidence[b])).mean() / (np.pi * len(b)) for b in bins]
    chance = sum(len(b) * np.sqrt(v) for b, v in zip(bins, noise, strict=True)) / len(order)
    return float(np.sqrt(max(0.0, error**2 - chance**2)))


def _ranking(rows: pd.DataFrame) -> float:
    """Spearman's correlation of the estimated with the true cross-entropy."""
    from scipy.stats import spearmanr

    said, true = rows["estimated_loss"].to_numpy(), rows["true_loss"].to_numpy()
    known = np.isfinite(said) & np.isfinite(true)
    if known.sum() < FEWEST or np.ptp(said[known]) == 0:
        return float("nan")
    return float(spearmanr(said[known], true[known]).statistic)


def _tells_errors(rows: pd.DataFrame) -> float:
    """Area under the ROC curve with which the estimated loss tells wrong predictions from right ones."""
    from sklearn.metrics import roc_auc_score

    said, wrong = rows["estimated_loss"], 1 - rows["right"]
    known = said.notna() & wrong.notna()
    if not known.any() or wrong[known].nunique() < 2:
        return float("nan")
    return float(roc_auc_score(wrong[known], said[known]))


def true_loss(rows: pd.DataFrame) -> pd.Series[Any]:
    """Cross-entropy of the label."""
    import pandas as pd

    pairs = zip(rows["probabilities"], rows["label"], strict=True) if "probabilities" in rows else ()
    return pd.Series([-np.log(max(json.loads(p)[label], 1e-12)) for p, label in pairs], index=rows.index, dtype=float)


STATISTICS: Mapping[str, Callable[[pd.DataFrame], float]] = MappingProxyType(
    {
        "balanced_accuracy": _balanced_accuracy,
        "calibration_error": _calibration_error,
        "estimator_ranking": _ranking,
        "estimator_tells_errors": _tells_errors,
    }
)
"""Measures of labelled images as a whole."""
