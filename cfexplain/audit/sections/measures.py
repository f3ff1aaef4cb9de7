"""Means and statistics of all rows: the outcomes of the searches, and the quality of classifier and estimator."""

from cfexplain.audit.measure import STATISTICS
from cfexplain.audit.sections import Lines, Results, section


@section(10, "intervals", per_classifier=False)
def outcomes(results: Results) -> Lines:
    """How often is the prediction flipped, and do independent classifiers confirm it?

    found counts failures in the denominator. semantic, unconfirmed, fragile and adversarial are verdicts. robust (to a
    shift, blur, resizing and JPEG together) and oracle_agreement are means over the found ones.
    """
    verdicts = ("semantic", "unconfirmed", "fragile", "adversarial")
    return results.measures(("found", *verdicts, "robust", "oracle_agreement", "failed"))


@section(20, "intervals", per_classifier=False)
def quality(results: Results) -> Lines:
    """How good is the classifier?

    Of the labelled images: accuracy, its mean over classes, calibration error (ten bins of equal count, less what
    chance yields), and how well the estimated loss ranks the true one (Spearman) and separates errors from right
    predictions (AUROC).
    """
    return results.measures(("accuracy", *STATISTICS))
