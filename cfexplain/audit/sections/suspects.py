"""Artefacts that flip the prediction by themselves."""

import pandas as pd

from cfexplain.audit.measure import column, keys
from cfexplain.audit.region import PRESENT
from cfexplain.audit.sections import Lines, section
from cfexplain.statistics import bootstrap_mean

SUSPECTS, CASES = 3, 6  # Suspects with cases, and cases of each.


@section(50, "table")
def suspects(rows: pd.DataFrame) -> Lines:
    """Shortcut suspects.

    Artefacts ranked by excess, the share of the flip that the change on them causes alone, beyond what the same mask
    rotated by 180° causes; the mean counts 0 where the artefact is absent. They are found by image processing and are
    sometimes missed or mistaken: look at the cases.
    """
    found, ranked = rows[rows["status"] == "found"], []
    for name in keys(rows, "artefact"):
        excess = column(found, f"excess.{name}")
        interval = bootstrap_mean(excess.fillna(0.0), found["lesion_id"])
        ranked.append(
            {
                "suspect": name,
                "n": interval.n,
                "excess": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "present": int((column(found, f"artefact.{name}") > PRESENT).sum()),
                "involved": int(excess.notna().sum()),
                "excess_where_involved": float(excess.mean()),
                "effect_where_involved": float(column(found, f"effect.{name}").mean()),
                "change_on_it": float(column(found, f"on.{name}").mean()),
                "added": float(column(found, f"added.{name}").mean()),
            }
        )
    table = pd.DataFrame(ranked).round(4)
    return table.sort_values("excess", ascending=False).to_dict("records") if ranked else []  # type: ignore[return-value]


@section(51, "cases")
def suspect_cases(rows: pd.DataFrame) -> Lines:
    """Shortcut suspects: the strongest cases."""
    for suspect in list(suspects(rows))[:SUSPECTS]:
        excess = column(rows, f"excess.{suspect['suspect']}").where(rows["status"] == "found")
        strongest = rows.assign(suspect=suspect["suspect"], excess=excess).sort_values("excess", ascending=False)
        cases = strongest.loc[strongest["excess"] > 0, ["suspect", "case", "image_id", "source", "target", "excess"]]
        yield from cases.head(CASES).to_dict("records")  # type: ignore[misc]
