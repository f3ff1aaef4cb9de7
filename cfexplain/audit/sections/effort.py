"""How small a change flips one class into another."""

import pandas as pd

from cfexplain.audit.measure import FEWEST, values
from cfexplain.audit.sections import Lines, section
from cfexplain.statistics import bootstrap_mean


@section(30, "matrix")
def effort(rows: pd.DataFrame) -> Lines:
    """How small a change flips the prediction?

    Mean absolute change of a pixel over the counterfactuals found, whatever their verdict, from the predicted to the
    target class: the smaller, the closer two classes are for this classifier and method; with an interval from ten
    lesions on.
    """
    for (source, target), pair in rows[rows["status"] == "found"].groupby(["source", "target"]):
        interval = vars(bootstrap_mean(values(pair, "mean_change"), pair["lesion_id"]))
        few = pair["lesion_id"].nunique() < FEWEST
        yield {"from": source, "to": target} | interval | ({"low": None, "high": None} if few else {})
