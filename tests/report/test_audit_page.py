import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cfexplain.audit.section import Section, Summary
from cfexplain.report import gallery, load_case, render
from cfexplain.report.audit import AuditRows, audit_page, broken, finding, suspected
from cfexplain.report.drawing import axis_of
from cfexplain.report.gallery import card, page_of
from cfexplain.report.page import percent
from cfexplain.report.rows import MOST_CELLS, table
from cfexplain.report.section import shown
from report_pages import HOSTILE, assert_sound


def written(folder, rows: pd.DataFrame | None = None, summary: Summary | None = None):
    """A folder of an audit."""
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    if rows is not None:
        rows.to_parquet(folder / "rows" / f"part-{0:08d}-{len(rows) - 1:08d}.parquet")
    if summary is not None:
        summary.save(folder / "summary.json")
    return folder


def page_of_audit(folder: Path) -> str:
    """The page of an audit's folder, with its cases."""
    audit = AuditRows.read(folder)
    return audit_page(audit, [card(load_case(folder / "cases" / row["case"], row)) for row in audit.cases])


def data_of(text: str):
    """The table inside a page."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL).group(1))


def test_an_audits_page_says_what_it_found(audit, monkeypatch):
    monkeypatch.setattr(gallery, "A_PAGE", 4)
    text = page_of_audit(audit)
    outline = assert_sound(text)
    assert "Of 130 questions" in text
    assert "Broken: artefact&gt;0.2. In doubt: oracle_agreement&lt;0.5." in text
    assert text.count("<svg") == 8
    assert data_of(text)["rows"] == 130
    cards = [a for a in outline.addresses if re.fullmatch(r"pages/case-\d+\.html", a)]
    assert len(set(cards)) == 4
    assert "pages/gallery-002.html" in outline.addresses


def test_every_address_of_a_rendered_audit_is_there(audit, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "A_PAGE", 4)
    path = render(audit, tmp_path)
    values = next(c["values"] for c in data_of(path.read_text())["columns"] if c["key"] == "case")
    assert all((tmp_path / "pages" / name).is_file() for name in values if name)
    for page in [path, *(tmp_path / "pages").iterdir()]:
        outline = assert_sound(page.read_text())
        links = {a.split("#")[0] for a in outline.addresses if not a.startswith(("data:", "#"))}
        assert all((page.parent / link).is_file() for link in links), page


def test_an_audit_without_rows_has_a_page(tmp_path):
    text = page_of_audit(written(tmp_path / "run", summary=Summary({})))
    assert_sound(text)
    assert "holds no rows yet" in text


@pytest.mark.parametrize("columns", [["image_id"], ["image_id", "status"], ["verdict"], ["image_id", "case", "status"]])
def test_missing_columns_are_left_out(tmp_path, columns):
    rows = pd.DataFrame({name: ["found"] for name in columns})
    for name in ("image_id", "classifier", "asked"):
        rows[name] = "a"
    assert_sound(page_of_audit(written(tmp_path / "run", rows)))


def test_rows_that_all_failed_are_shown_with_their_errors(tmp_path):
    rows = pd.DataFrame({
        "image_id": ["a", "b"], "classifier": "c", "asked": "mel", "status": "failed", "verdict": [None, None],
        "error": "OSError: gone", "margin": [np.nan, np.nan],
    })  # fmt: skip
    text = page_of_audit(written(tmp_path / "run", rows))
    assert_sound(text)
    assert "None of 2 questions found" in text
    assert "OSError: gone" in text
    assert "margin" not in {c["key"] for c in data_of(text)["columns"]}


def test_hostile_rows_and_sections_stay_text(audit, tmp_path):
    rows = pd.DataFrame({
        "image_id": [HOSTILE, "b"], "classifier": HOSTILE, "asked": HOSTILE, "status": "found", "verdict": HOSTILE,
        "source": HOSTILE, "target": HOSTILE, "error": HOSTILE, "words": HOSTILE, "case": ["../../etc", HOSTILE],
        "meta.<b>": HOSTILE,
    })  # fmt: skip
    frame = pd.DataFrame({"measure": [HOSTILE], "group": HOSTILE, "n": 1, "mean": 0.5, "low": None, "high": None})
    sections = (Section("a", HOSTILE, HOSTILE, "intervals", frame), Section("b", HOSTILE, "", "table", frame))
    text = page_of_audit(written(tmp_path / "run", rows, Summary({HOSTILE: HOSTILE}, (), sections)))
    outline = assert_sound(text)
    assert outline.tags.count("script") == 2
    assert "<script>alert" not in text
    assert not any(c["key"] == "case" for c in data_of(text)["columns"])
    assert data_of(text)["columns"][0]["values"] == [HOSTILE, "b"]


def test_a_case_outside_of_the_folder_gets_no_page(audit, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "result.json").write_text("{}")
    rows = pd.DataFrame({"image_id": ["a"], "classifier": "c", "asked": "m", "case": ["../../outside"]})
    path = render(written(tmp_path / "run", rows))
    assert not (path.parent / "pages").exists()


def test_names_of_pages_are_plain_and_differ():
    names = ["a", "a b", "a-b", "a/b", "../a", "gallery-002", "", "ü" * 300]
    pages = [page_of(name) for name in names]
    assert len(set(pages)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,130}\.html", page) and not page.startswith(".") for page in pages)


def test_a_large_table_is_cut_to_the_budget():
    rows = pd.DataFrame({f"metric.{k}": np.arange(12_000.0) for k in range(60)}).assign(image_id="a", status="found")
    cut = table(rows, {})
    assert cut["rows"] == 10_000
    assert cut["of"] == 12_000
    assert cut["rows"] * len(cut["columns"]) <= MOST_CELLS
    assert {"image_id", "status"} <= {c["key"] for c in cut["columns"]}


def test_numbers_that_are_not_known_are_null():
    rows = pd.DataFrame({"image_id": ["a", "b"], "margin": [np.nan, 0.123456789], "meta.age": [None, "50"]})
    columns = {c["key"]: c["values"] for c in table(rows, {})["columns"]}
    assert columns["margin"] == [None, 0.1235]


@pytest.mark.parametrize("kind", ["intervals", "matrix", "cases", "table"])
def test_a_section_whose_table_does_not_fit_its_kind_is_shown_as_a_table(kind):
    found = shown(Section("k", "t", "", kind, pd.DataFrame({"other": [1.0, None]})))
    assert found["kind"] == "table"
    assert found["rows"] == [{"other": 1.0}, {"other": None}]


def test_cases_are_shown_under_their_reasons_with_their_numbers():
    frame = pd.DataFrame({"reason": ["near", "near", "wrong"], "case": ["a", "b", "a"], "margin": [0.1, None, 0.3]})
    groups = shown(Section("k", "t", "", "cases", frame))["groups"]
    assert [g["title"] for g in groups] == ["near", "wrong"]
    assert groups[0]["cards"] == [("a", [("margin", 0.1)]), ("b", [])]
    assert shown(Section("k", "t", "", "cases", frame[["case"]]))["groups"][0]["title"] == ""


def test_an_interval_is_drawn_where_it_lies():
    frame = pd.DataFrame({"measure": ["m"], "group": ["g"], "n": [9], "mean": [0.5], "low": [0.25], "high": [0.75]})
    row = shown(Section("k", "t", "", "intervals", frame))["panels"][0]["rows"][0]
    assert (row["start"], row["at"], row["end"]) == (25, 50, 75)
    assert row["texts"] == {"mean": "0.50", "between": "0.25 to 0.75"}


@pytest.mark.parametrize("values", [[], [None], [0.0], [0.001, 0.002], [-1.0, 1.0], [5e6], [float("nan")]])
def test_an_axis_holds_its_values(values):
    low, high = axis_of(values)
    assert low < high
    assert all(low <= v <= high for v in values if v is not None and v == v)


def test_the_finding_counts():
    rows = pd.DataFrame(
        {"status": ["found", "found", "failed", "not_found"], "verdict": ["semantic", "fragile", None, "none"]}
    )
    assert (
        finding(rows)
        == "Of 4 questions, 50\u202f% found a counterfactual; 50\u202f% of those are semantic, 0\u202f% adversarial."
    )
    unasked = finding(rows.assign(oracle_agreement=None))
    assert unasked.endswith("; no independent classifier could confirm any of them.")


def test_a_folder_that_is_no_audit_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="is no audit's folder"):
        AuditRows.read(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="summarise the audit again"):
        AuditRows.read(tmp_path)


def test_suspects_beyond_chance_are_named_first():
    columns = {"suspect": ["dark_corner", "ink", "hair"], "excess": [0.05, 0.17, 0.01], "low": [0.03, 0.11, -0.02]}
    told = suspected(Summary({}, (), (Section("suspects", "", "", "table", pd.DataFrame(columns)),)))
    assert told.endswith(f"by itself: ink ({percent(0.17)}), dark corner ({percent(0.05)}).")
    assert suspected(Summary({})) == ""
    assert broken(Summary({})) == "No rules were given."
