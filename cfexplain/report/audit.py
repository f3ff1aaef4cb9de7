"""The page of an audit: what it found, its rules, the sections of its summary, plots, gallery and rows."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from cfexplain.audit.measure import asked
from cfexplain.audit.section import Summary
from cfexplain.report import gallery
from cfexplain.report.glossary import VERDICTS
from cfexplain.report.page import page, percent
from cfexplain.report.plots import plots, view
from cfexplain.report.rows import table

MOST_PAIRS = 12  # Pairs of classes whose verdicts are counted.
WORTH_NAMING = 0.02  # Suspects that may explain less of the prediction change are left to the table.


class Tile(NamedTuple):
    """One number of the overview, as text; `query` is the filter that shows its rows."""

    title: str
    value: str
    note: str
    query: str = ""
    alarm: bool = False


def audit_page(title: str, summary: Summary, rows: pd.DataFrame, cards: Sequence[gallery.Card] = ()) -> str:
    """Render the page of an audit, whose summary and rows may be empty; cards are of its cases, in the rows' order."""
    return page(
        "audit.html",
        title=title,
        finding=finding(rows),
        failed=failed(summary),
        suspects=suspects(summary),
        summary=summary,
        tiles=tiles(rows),
        mix=mix(rows),
        views=[view(section) for section in summary.sections],
        cards_by_case={card.case: card for card in cards},
        plots=plots(rows),
        cards=cards[: gallery.A_PAGE],
        total=len(cards),
        count=gallery.page_count(cards),
        table=table(rows, {card.case: card.page for card in cards}),
    )


def finding(rows: pd.DataFrame) -> str:
    """The audit in a sentence."""
    items = _items(rows)
    if rows.empty or "status" not in rows:
        return "This audit has no rows yet."
    if items.empty:
        return "Every image was already predicted as its target class."
    found = items[items["status"] == "found"]
    count = f"{len(items):,} item{'' if len(items) == 1 else 's'}"
    if found.empty:
        return f"No counterfactual was found for {count}."
    start = f"A counterfactual was found for {percent(len(found) / len(items))} of {count}"
    verdicts = found["verdict"].dropna() if "verdict" in found else found.index[:0]
    if not len(verdicts):
        return f"{start}."
    if "oracle_agreement" in found and found["oracle_agreement"].isna().all():
        tested = any(str(name).startswith("oracle.") for name in rows)
        return f"{start}; no independent classifier {'could confirm any of them' if tested else 'was provided'}."
    shares = [f"{percent(float((verdicts == kind).mean()))} are {kind}" for kind in ("semantic", "adversarial")]
    return f"{start}; of these, {shares[0]} and {shares[1]}."


def failed(summary: Summary) -> str:
    """Which rules did not pass, in a sentence."""
    words = {"fail": "Failed", "warn": "Warnings"}
    rules = {w: dict.fromkeys(c.rule for c in summary.checks if c.outcome == o) for o, w in words.items()}
    sentences = [f"{word}: {', '.join(some)}." for word, some in rules.items() if some]
    return " ".join(sentences) or ("All rules passed." if summary.checks else "No rules were set.")


def suspects(summary: Summary) -> str:
    """The artefacts that change the prediction by themselves, beyond chance, in a sentence; empty without any."""
    ranked = next((section.frame for section in summary.sections if section.key == "suspects"), None)
    if ranked is None or not {"suspect", "excess", "low"} <= set(ranked):
        return ""
    beyond = ranked[ranked["low"] > WORTH_NAMING].sort_values("excess", ascending=False)
    named = [f"{row['suspect'].replace('_', ' ')} ({percent(row['excess'])})" for row in beyond.to_dict("records")]
    start = "Suspected shortcuts, with the share of the prediction change that each causes by itself"
    return f"{start}: {', '.join(named)}." if named else ""


def tiles(rows: pd.DataFrame) -> list[Tile]:
    """The most important numbers."""
    items = _items(rows)
    if items.empty:
        return []
    found, note = items[items["status"] == "found"], f"of items, n = {len(items):,}"
    tiles = [Tile("Found", percent(len(found) / len(items)), note, "status=found")]
    means = {
        "robust.together": ("Robust", "of those found"),
        "oracle_agreement": ("Oracle agreement", "of those found"),
        "metric.inside_lesion": ("On the lesion", "of the change, of those found"),
    }
    for name, (title, of) in means.items():
        if name in found and (known := found[name].dropna().astype(float)).size:
            tiles.append(Tile(title, percent(float(known.mean())), f"{of}, n = {known.size:,}"))
    errors = int((items["status"] == "failed").sum())
    return [*tiles, Tile("Errors", f"{errors:,}", note, "status=failed", errors > 0)]


def mix(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    """How often each verdict was given: overall, and for the most frequent pairs of classes."""
    items = _items(rows)
    if "verdict" not in items:
        return {}
    groups = {"all": items}
    if {"source", "target"} <= set(items):
        pairs = items.dropna(subset=["verdict"]).groupby(["source", "target"])
        largest = pairs.size().sort_values(ascending=False, kind="stable").head(MOST_PAIRS)
        if len(largest) > 1:
            groups |= {f"{source} → {target}": pairs.get_group((source, target)) for source, target in largest.index}
    counts = {name: {kind: int((some["verdict"] == kind).sum()) for kind in VERDICTS} for name, some in groups.items()}
    return {name: kinds for name, kinds in counts.items() if sum(kinds.values())}


def _items(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose image was not already predicted as its target class."""
    return rows[asked(rows)] if "status" in rows else rows.iloc[:0]
