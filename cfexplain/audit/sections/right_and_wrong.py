"""Whether explanations of wrong predictions differ from those of right ones."""

import pandas as pd

from cfexplain.audit.measure import correct, line, measure
from cfexplain.audit.sections import Lines, section

MEASURES = ("mean_change", "semantic", "robust", "oracle_agreement", "inside_lesion", "naturalness")


@section(70, "intervals")
def right_and_wrong(rows: pd.DataFrame) -> Lines:
    """Do explanations of wrong predictions differ?"""
    right = correct(rows)
    for group, chosen in (("right", rows[right == 1]), ("wrong", rows[right == 0])):
        lines = [line(name, group, measure(chosen, name)) for name in MEASURES]
        yield from (line for line in lines if line["n"])
