"""Cases that a person should look at, and images that could not be explained."""

import pandas as pd

from cfexplain.audit.measure import column, correct, one_per_image
from cfexplain.audit.row import FAILED
from cfexplain.audit.sections import Lines, Results, section

CASES = 8  # Of each kind.
SHOWN = ["reason", "case", "image_id", "label", "source", "target", "margin", "change"]


@section(90, "cases")
def review(rows: pd.DataFrame) -> Lines:
    """Cases to review.

    nearest to the boundary: the two likeliest classes are closest. wrong and sure: wrong predictions of the highest
    confidence. adversarial: flipped by what no other classifier confirms, the smallest change first.
    """
    # Of an image's items the one with the likeliest target; last comes one whose image was of the target class.
    likely = column(rows, "target_before").where(rows["status"] != "already_target", -1.0)
    rows = rows.assign(change=column(rows, "metric.mean_change"), likely=likely)
    images = one_per_image(rows.sort_values("likely", ascending=False, kind="stable"))
    chosen = {
        "nearest to the boundary": images.sort_values("margin"),
        "wrong and sure": images[correct(images) == 0].sort_values("source_before", ascending=False),
        "adversarial": rows[rows["verdict"] == "adversarial"].sort_values("change"),
    }
    for reason, cases in chosen.items():
        yield from cases.assign(reason=reason).head(CASES)[SHOWN].to_dict("records")  # type: ignore[misc]


@section(100, "table", per_classifier=False)
def failures(results: Results) -> Lines:
    """Images that could not be explained."""
    failed = results.rows.loc[results.rows["status"] == FAILED, ["image_id", "classifier", "error"]]
    return failed.to_dict("records")  # type: ignore[return-value]
