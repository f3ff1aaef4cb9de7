"""The page of an audit: what it found, the rules it was held to, its questions, its pictures, all of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cfexplain.audit.measure import asked
from cfexplain.audit.section import Summary
from cfexplain.report import drawing, gallery, section
from cfexplain.report.gallery import Card, page_of, pager
from cfexplain.report.page import known, page, percent
from cfexplain.report.rows import plain, read_rows, table

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = ("semantic", "unconfirmed", "fragile", "adversarial", "none")
FLIPPED = VERDICTS[:-1]
FOUND, FAILED = "found", "failed"


@dataclass(frozen=True, eq=False)
class AuditRows:
    """What a folder holds of an audit.

    Attributes:
        folder: as `cfexplain audit` wrote it.
        summary: what it says.
        rows: all of them.
    """

    folder: Path
    summary: Summary
    rows: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> AuditRows:
        """Read a folder; rows without a summary are enough, and a summary without rows.

        Raises:
            ValueError: there is neither, or one of them is damaged.
        """
        folder = Path(folder)
        path = folder / "summary.json"
        if not path.is_file() and not (folder / "rows").is_dir():
            raise ValueError(f"{folder} is no audit's folder: it has neither summary.json nor rows/")
        try:
            summary = Summary.load(path) if path.is_file() else Summary({})
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"{path} is damaged ({reason}): summarise the audit again") from None
        return cls(folder, summary, read_rows(folder))

    @property
    def title(self) -> str:
        """What was audited."""
        return f"Audit of {self.summary.facts.get('classifiers') or self.folder.resolve().name}"

    @property
    def cases(self) -> list[dict[str, Any]]:
        """The rows that have a folder of their own, in their order, as plain values."""
        if "case" not in self.rows:
            return []
        kept = self.rows[self.rows["case"].map(lambda name: _is_case(self.folder, name))]
        return [{str(k): plain(v) for k, v in row.items()} for row in kept.to_dict("records")]


def audit_page(audit: AuditRows, cards: Sequence[Card] = ()) -> str:
    """The page of an audit as HTML.

    Args:
        audit: summary and rows.
        cards: of its cases, in the order of the rows.
    """
    sections = [section.shown(s) for s in audit.summary.sections]
    wanted = {row.get("case") for s in sections if s["kind"] == "cases" for row in s["rows"]}
    plots = {
        "How sure the model was, and how much had to change": drawing.change_and_certainty(audit.rows),
        "How much of the change lies on the lesion": drawing.change_on_lesion(audit.rows),
    }
    return page(
        "audit.html",
        title=audit.title,
        finding=finding(audit.rows),
        broken=broken(audit.summary),
        suspected=suspected(audit.summary),
        summary=audit.summary,
        tiles=tiles(audit.rows),
        mix=mix(audit.rows),
        sections=sections,
        named={card.case: card for card in cards if card.case in wanted},
        plots=known(plots),
        cards=cards[: gallery.A_PAGE],
        total=len(cards),
        pager=pager(len(cards)),
        table=table(audit.rows, {card.case: quote(page_of(card.case)) for card in cards}),
    )


def finding(rows: pd.DataFrame) -> str:
    """The audit in a sentence."""
    if rows.empty or "status" not in rows:
        return "This audit holds no rows yet."
    rows = rows[asked(rows)]
    if rows.empty:
        return "Every image was taken for its target already."
    total, found = len(rows), int((rows["status"] == FOUND).sum())
    questions = f"{total:,} question{'' if total == 1 else 's'}"
    if not found:
        return f"None of {questions} found a counterfactual."
    first = f"Of {questions}, {percent(found / total)} found a counterfactual"
    verdicts = rows.loc[rows["status"] == FOUND, "verdict"].dropna() if "verdict" in rows else rows.iloc[:0, 0]
    if verdicts.empty:
        return f"{first}."
    if "oracle_agreement" in rows and rows["oracle_agreement"].isna().all():
        return f"{first}; no independent classifier could confirm any of them."
    parts = [f"{percent(float((verdicts == v).mean()))} of those are {v}" for v in ("semantic", "adversarial")]
    return f"{first}; {parts[0]}, {parts[1].replace(' of those are', '')}."


def broken(summary: Summary) -> str:
    """Which rules did not pass, in a sentence."""
    words = {"fail": "Broken", "warn": "In doubt"}
    named = {w: [c.rule for c in summary.checks if c.outcome == outcome] for outcome, w in words.items()}
    said = [f"{w}: {', '.join(rules)}." for w, rules in named.items() if rules]
    count = len(summary.checks)
    none = f"None of {count} rule{'' if count == 1 else 's'} is broken." if count else "No rules were given."
    return " ".join(said) or none


WORTH_A_WORD = 0.02
"""Suspects that may bring less of the change of mind are left to the table."""


def suspected(summary: Summary) -> str:
    """The artefacts that change the model's mind by themselves, beyond chance, in a sentence; empty without any."""
    ranked = next((s.frame for s in summary.sections if s.key == "suspects"), None)
    if ranked is None or "low" not in ranked:
        return ""
    beyond = ranked[ranked["low"] > WORTH_A_WORD].sort_values("excess", ascending=False)
    named = [f"{row['suspect'].replace('_', ' ')} ({percent(row['excess'])})" for row in beyond.to_dict("records")]
    said = "Shortcut suspects, with the share of the change of mind that each brings by itself"
    return f"{said}: {', '.join(named)}." if named else ""


def tiles(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Single numbers, each with what it is of and the filter that shows its rows."""
    if rows.empty or "status" not in rows:
        return []
    rows = rows[asked(rows)]
    total = len(rows)
    if not total:
        return []
    found = rows[rows["status"] == FOUND]
    made = [_tile("Found", found, total, "status=found", "of questions")]
    for name, words, of in (
        ("robust.together", "Robust", "of those found"),
        ("oracle_agreement", "Oracle agreement", "of those found"),
        ("metric.inside_lesion", "On the lesion", "of the change, of those found"),
    ):
        values = found[name].dropna().astype(float) if name in found else found.iloc[:0, 0]
        if len(values):
            made.append({"title": words, "value": percent(float(values.mean())), "note": f"{of}, n = {len(values):,}"})
    made.append(_tile("Failed", rows[rows["status"] == FAILED], total, "status=failed", "of questions", bad=True))
    return made


def mix(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The verdicts on what was asked most, overall first: counts and shares of each."""
    if rows.empty or not {"verdict", "status"} <= set(rows):
        return []
    judged = rows[asked(rows)].dropna(subset=["verdict"])
    bars = [_mixed("all", judged)]
    if {"source", "target"} <= set(judged):
        pairs = judged.groupby(["source", "target"]).size().sort_values(ascending=False, kind="stable").head(12)
        for source, target in pairs.index if len(pairs) > 1 else []:
            own = judged[(judged["source"] == source) & (judged["target"] == target)]
            bars.append(_mixed(f"{source} → {target}", own))
    return [b for b in bars if b["n"]]


def _mixed(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    counts = {v: int((rows["verdict"] == v).sum()) for v in VERDICTS}
    total = sum(counts.values())
    parts = [{"verdict": v, "n": n, "share": n / total} for v, n in counts.items() if n]
    return {"name": name, "n": total, "parts": parts}


def _tile(title: str, rows: pd.DataFrame, total: int, query: str, note: str, bad: bool = False) -> dict[str, Any]:
    return {
        "title": title,
        "value": percent(len(rows) / total) if not bad else f"{len(rows):,}",
        "note": f"{note}, n = {total:,}",
        "query": query,
        "bad": bad and len(rows) > 0,
    }


def _is_case(folder: Path, name: Any) -> bool:
    """Whether a row's case is a plain name of a folder that holds an explanation."""
    if not isinstance(name, str) or not name or name in (".", "..") or set(name) & set("/\\\0"):
        return False
    return (folder / "cases" / name / "result.json").is_file()
