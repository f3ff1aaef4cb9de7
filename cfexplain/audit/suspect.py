"""Which artefacts change the model's mind by themselves?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cfexplain.audit.interval import mean_of
from cfexplain.audit.measure import column, named
from cfexplain.audit.region import PRESENT

if TYPE_CHECKING:
    import pandas as pd

PICTURES = 6
"""Cases shown of each suspect."""


def suspects(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Artefacts ranked by the change of mind that they bring.

    `excess` is the mean over all found counterfactuals of (effect of the change on the artefact alone) - (effect of
    the change within the same mask turned by half a turn), counting 0 where the artefact is neither before nor after:
    a share of the whole change of mind. An artefact that is common but idle, or that lies on the lesion and moves with
    it, has none. `added` is how much of the picture the artefact gains by the edits that raise it, on average.
    """
    import pandas as pd

    found = rows[rows["status"] == "found"]
    ranked = []
    for name in named(rows, "artefact."):
        there = column(found, f"excess.{name}")
        before = column(found, f"artefact.{name}") > PRESENT
        interval = mean_of(there.fillna(0.0), found["lesion_id"])
        effect = column(found, f"effect.{name}")
        ranked.append(
            {
                "suspect": name,
                "n": interval.n,
                "excess": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "present": int(before.sum()),
                "involved": int(there.notna().sum()),
                "excess_where_involved": float(there.mean()),
                "effect_where_involved": float(effect.mean()),
                "change_on_it": float(column(found, f"on.{name}").mean()),
                "added": float(column(found, f"added.{name}").mean()),
            }
        )
    order = pd.DataFrame(ranked).round(4).sort_values("excess", ascending=False) if ranked else pd.DataFrame()
    return list(order.to_dict("records"))  # type: ignore[arg-type]


def suspect_cases(rows: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """The cases in which each suspect did most, the strongest first."""
    found = rows[rows["status"] == "found"]
    shown = []
    for name in names:
        excess = column(found, f"excess.{name}").dropna().sort_values(ascending=False)
        for index in excess[excess > 0].index[:PICTURES]:
            row = found.loc[index]
            shown.append(
                {
                    "suspect": name,
                    "case": row["case"],
                    "image_id": row["image_id"],
                    "source": row["source"],
                    "target": row["target"],
                    "excess": float(excess[index]),
                }
            )
    return shown
