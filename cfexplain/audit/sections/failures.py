"""Images that could not be explained."""

from cfexplain.audit.row import FAILED
from cfexplain.audit.sections import Lines, Results, section


@section(100, "table", per_classifier=False)
def failures(results: Results) -> Lines:
    """Images that could not be explained."""
    failed = results.rows[results.rows["status"] == FAILED]
    return failed[["image_id", "classifier", "error"]].to_dict("records")  # type: ignore[return-value]
