"""The page of an audit: finding, sections, plots, gallery, table."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cfexplain.audit.section import Check, Section, Summary
from cfexplain.report import gallery, load_case, render
from cfexplain.report.audit import audit_page, failed, finding, mix, suspects
from cfexplain.report.gallery import card, page_name
from cfexplain.report.page import percent
from cfexplain.report.plots import axis_of, plots, view
from cfexplain.report.render import load_audit
from cfexplain.report.rows import MOST_CELLS, table
from report_pages import HOSTILE, assert_sound

NO_ROWS = pd.DataFrame({"image_id": []})


def written(folder, rows: pd.DataFrame | None = None, summary: Summary | None = None):
    """The folder of an audit."""
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    if rows is not None:
        rows.to_parquet(folder / "rows" / f"part-{0:08d}-{len(rows) - 1:08d}.parquet")
    if summary is not None:
        summary.save(folder / "summary.json")
    return folder


def page_of(*sections: Section) -> str:
    """The page of an audit that has these sections and no rows."""
    text = audit_page("An audit", Summary({}, (), sections), NO_ROWS)
    assert_sound(text)
    return text


def data_of(text: str):
    """The table inside a page."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL).group(1))


def test_the_page_shows_finding_rules_sections_and_cases(audit, monkeypatch):
    monkeypatch.setattr(gallery, "A_PAGE", 4)
    summary, rows = load_audit(audit)
    names = [f"case-{k:05d}" for k in range(10)]
    text = audit_page("Audit", summary, rows, [card(load_case(audit / "cases" / name)) for name in names])
    outline = assert_sound(text)
    assert "of 130 items" in text
    assert "Failed: artefact&gt;0.2. Warnings: oracle_agreement&lt;0.5." in text
    assert all(section.title in text for section in summary.sections)
    assert data_of(text)["rows"] == 130
    cards = [a for a in outline.addresses if re.fullmatch(r"pages/case-\d+\.html", a)]
    assert len(set(cards)) == 4
    assert "pages/gallery-002.html" in outline.addresses


def test_every_address_of_a_rendered_audit_exists(audit, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "A_PAGE", 4)
    path = render(audit, tmp_path)
    values = next(c["values"] for c in data_of(path.read_text())["columns"] if c["key"] == "case")
    assert all((tmp_path / "pages" / name).is_file() for name in values if name)
    for page in [path, *(tmp_path / "pages").iterdir()]:
        outline = assert_sound(page.read_text())
        links = {a.split("#")[0] for a in outline.addresses if not a.startswith(("data:", "#"))}
        assert all((page.parent / link).is_file() for link in links), page


def test_an_audit_without_rows_has_a_page(tmp_path):
    text = render(written(tmp_path / "run", summary=Summary({}))).read_text()
    assert_sound(text)
    assert "has no rows yet" in text


@pytest.mark.parametrize("columns", [["image_id"], ["image_id", "status"], ["verdict"], ["image_id", "case", "status"]])
def test_missing_columns_are_left_out(tmp_path, columns):
    rows = pd.DataFrame({name: ["found"] for name in columns})
    for name in ("image_id", "classifier", "asked"):
        rows[name] = "a"
    assert_sound(render(written(tmp_path / "run", rows)).read_text())


def test_rows_that_all_failed_are_shown_with_their_errors(tmp_path):
    rows = pd.DataFrame({
        "image_id": ["a", "b"], "classifier": "c", "asked": "mel", "status": "failed", "verdict": [None, None],
        "error": "OSError: gone", "margin": [np.nan, np.nan],
    })  # fmt: skip
    text = render(written(tmp_path / "run", rows)).read_text()
    assert_sound(text)
    assert "No counterfactual was found for 2 items" in text
    assert "OSError: gone" in text
    assert "margin" not in {c["key"] for c in data_of(text)["columns"]}


def test_hostile_rows_and_sections_stay_text(tmp_path):
    rows = pd.DataFrame({
        "image_id": [HOSTILE, "b"], "classifier": HOSTILE, "asked": HOSTILE, "status": "found", "verdict": HOSTILE,
        "source": HOSTILE, "target": HOSTILE, "error": HOSTILE, "words": HOSTILE, "case": ["../../etc", HOSTILE],
        "meta.<b>": HOSTILE,
    })  # fmt: skip
    frame = pd.DataFrame({"measure": [HOSTILE], "group": HOSTILE, "n": 1, "mean": 0.5, "low": None, "high": None})
    cells = pd.DataFrame({"from": [HOSTILE], "to": HOSTILE, "mean": 0.5})
    cases = pd.DataFrame({"reason": [HOSTILE], "case": HOSTILE})
    sections = [
        Section(f"{HOSTILE}{k}", HOSTILE, HOSTILE, kind, table)
        for k, (kind, table) in enumerate((("intervals", frame), ("table", frame), ("matrix", cells), ("cases", cases)))
    ]
    path = render(written(tmp_path / "run", rows, Summary({HOSTILE: HOSTILE}, (), sections)))
    text = path.read_text()
    outline = assert_sound(text)
    assert outline.tags.count("script") == 2
    assert "<script>alert" not in text
    assert not any(c["key"] == "case" for c in data_of(text)["columns"])
    assert data_of(text)["columns"][0]["values"] == [HOSTILE, "b"]


def test_a_case_outside_of_the_folder_gets_no_page(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "result.json").write_text("{}")
    rows = pd.DataFrame({"image_id": ["a"], "classifier": "c", "asked": "m", "case": ["../../outside"]})
    path = render(written(tmp_path / "run", rows))
    assert not (path.parent / "pages").exists()


def test_names_of_pages_are_plain_and_differ():
    names = ["a", "a b", "a-b", "a/b", "../a", "gallery-002", "", "ü" * 300]
    pages = [page_name(name) for name in names]
    assert len(set(pages)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,130}\.html", page) and not page.startswith(".") for page in pages)


def test_a_damaged_summary_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="summarise the audit again"):
        render(tmp_path)


def test_a_large_table_is_cut_to_the_limit():
    rows = pd.DataFrame({f"metric.{k}": np.arange(12_000.0) for k in range(60)}).assign(image_id="a", status="found")
    cut = table(rows, {})
    assert cut["rows"] == 10_000
    assert cut["of"] == 12_000
    assert cut["rows"] * len(cut["columns"]) <= MOST_CELLS
    assert {"image_id", "status"} <= {c["key"] for c in cut["columns"]}


def test_unknown_numbers_are_null_and_metadata_that_is_numeric_becomes_numbers(tmp_path):
    rows = pd.DataFrame({"image_id": ["a", "b"], "margin": [np.nan, 0.123456789], "meta.age": [None, "50"]})
    _, loaded = load_audit(written(tmp_path, rows.assign(classifier="c", asked="auto")))
    columns = {c["key"]: c["values"] for c in table(loaded, {})["columns"]}
    assert columns["margin"] == [None, 0.1235]
    assert columns["meta.age"] == [None, 50]


def test_a_metric_that_nobody_heard_of_is_in_the_table_under_its_name():
    column = table(pd.DataFrame({"metric.brand_new": [0.25, 0.5]}), {})["columns"][0]
    assert (column["title"], column["kind"], column["values"]) == ("brand new", "number", [0.25, 0.5])


@pytest.mark.parametrize("kind", ["intervals", "matrix", "cases", "table", "of tomorrow"])
def test_a_section_whose_columns_do_not_fit_its_kind_is_shown_as_a_table(kind):
    section = Section("k", "A title", "A note.", kind, pd.DataFrame({"other": [1.5, None]}))
    assert (view(section).kind, view(section).rows) == ("table", [{"other": 1.5}, {"other": None}])
    text = page_of(section)
    assert "A title</h3>" in text
    assert '<th scope="col" class="number">other</th>' in text


def test_cases_are_shown_under_their_reasons_with_their_numbers():
    frame = pd.DataFrame({"reason": ["near", "near", "wrong"], "case": ["a", "b", "a"], "margin": [0.1, None, 0.3]})
    panels = view(Section("k", "t", "", "cases", frame)).panels
    groups = [(panel.title, [row["case"] for row in panel.rows]) for panel in panels]
    assert groups == [("near", ["a", "b"]), ("wrong", ["a"])]
    assert [panel.title for panel in view(Section("k", "t", "", "cases", frame[["case"]])).panels] == [""]
    cards = [gallery.Card(name, name, "nv → mel", "found", "semantic") for name in ("a", "b")]
    text = audit_page("t", Summary({}, (), (Section("k", "t", "", "cases", frame),)), NO_ROWS, cards)
    assert re.findall(r'class="notes">(.*?)</span>', text) == ["margin 0.1", "margin 0.3"]


def test_an_interval_is_drawn_where_it_lies():
    frame = pd.DataFrame({"measure": ["m"], "group": ["g"], "n": [9], "mean": [0.5], "low": [0.25], "high": [0.75]})
    text = page_of(Section("k", "t", "", "intervals", frame))
    assert '<line class="whisker" x1="25.0%" x2="75.0%"' in text
    assert '<circle cx="50.0%"' in text
    assert ">0.50</td>" in text
    assert ">0.25 to 0.75</td>" in text


def test_tables_of_several_classifiers_name_the_classifier():
    intervals = pd.DataFrame({"classifier": ["a", "b"], "measure": "m", "group": "male", "n": 9, "mean": [0.5, 0.7]})
    rows = view(Section("k", "t", "", "intervals", intervals)).panels[0].rows
    assert [row["group"] for row in rows] == ["a: male", "b: male"]
    matrix = pd.DataFrame({"classifier": ["a", "b"], "from": "nv", "to": "mel", "n": 9, "mean": [0.5, 0.7]})
    text = page_of(Section("k", "t", "", "matrix", matrix))
    assert text.count('<table class="matrix">') == 2
    assert "<b>0.50</b>" in text
    assert "<b>0.70</b>" in text


@pytest.mark.parametrize("values", [[], [None], [0.0], [0.001, 0.002], [-1.0, 1.0], [-3.0], [5e6], [float("nan")]])
def test_an_axis_holds_its_values_and_has_round_ticks_from_end_to_end(values):
    axis = axis_of(values)
    assert axis.low < axis.high
    assert all(axis.low <= v <= axis.high for v in values if v is not None and v == v)
    assert (axis.position(axis.low), axis.position(axis.high)) == (0, 100)
    assert [axis.ticks[0], axis.ticks[-1]] == pytest.approx([axis.low, axis.high])
    assert 2 <= len(axis.ticks) <= 12


def test_plots_show_every_verdict():
    kinds = ["semantic", "unconfirmed", "fragile", "adversarial", "none"]
    rows = pd.DataFrame({"verdict": kinds, "margin": 0.5, "metric.mean_change": 0.5, "metric.inside_lesion": 0.62})
    scatter, histogram = plots(rows)
    assert scatter.counts == histogram.counts == dict.fromkeys(kinds, 1)
    assert all(marks == [(50, 50, 0)] for marks in scatter.marks.values())
    assert [marks[0] for marks in histogram.marks.values()] == [(60, 20 * k, 20) for k in range(1, 6)]
    assert_sound(audit_page("t", Summary({}), rows))
    assert plots(rows[:2]) == []


def test_the_finding_counts():
    rows = pd.DataFrame(
        {"status": ["found", "found", "failed", "not_found"], "verdict": ["semantic", "fragile", None, "none"]}
    )
    found = "A counterfactual was found for 50\u202f% of 4 items"
    assert finding(rows) == f"{found}; of these, 50\u202f% are semantic and 0\u202f% are adversarial."
    untested = finding(rows.assign(oracle_agreement=None))
    assert untested.endswith("; no independent classifier was provided.")
    uncounted = finding(rows.assign(oracle_agreement=None, **{"oracle.witness.counted": False}))
    assert uncounted.endswith("; no independent classifier could confirm any of them.")
    assert finding(rows.assign(status="already_target")) == "Every image was already predicted as its target class."


def test_verdicts_are_counted_overall_and_by_pair_of_classes():
    rows = pd.DataFrame({"status": "found", "verdict": ["unconfirmed", "fragile", "none"], "target": "bkl"})
    rows["source"] = ["nv", "nv", "mel"]
    counts = mix(rows)
    assert {name: sum(kinds.values()) for name, kinds in counts.items()} == {"all": 3, "nv → bkl": 2, "mel → bkl": 1}
    assert counts["all"] == {"semantic": 0, "unconfirmed": 1, "fragile": 1, "adversarial": 0, "none": 1}


def test_suspects_beyond_chance_are_named_first():
    columns = {"suspect": ["dark_corner", "ink", "hair"], "excess": [0.05, 0.17, 0.01], "low": [0.03, 0.11, -0.02]}
    sentence = suspects(Summary({}, (), (Section("suspects", "", "", "table", pd.DataFrame(columns)),)))
    assert sentence.endswith(f"by itself: ink ({percent(0.17)}), dark corner ({percent(0.05)}).")
    assert suspects(Summary({})) == ""


def test_rules_that_did_not_pass_are_named_once():
    checks = [Check("found<0.9", outcome, 0.5, 0.4, 0.6, 10) for outcome in ("fail", "fail", "warn")]
    assert failed(Summary({}, checks)) == "Failed: found<0.9. Warnings: found<0.9."
    assert failed(Summary({}, (Check("found<0.9", "pass", 1.0, 0.9, 1.0, 10),))) == "All rules passed."
    assert failed(Summary({})) == "No rules were set."


def test_the_audit_is_read_from_disk_once(audit, tmp_path, monkeypatch):
    opened = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path) or original(path))
    render(audit, tmp_path)
    records = [path for path in opened if path.name == "result.json"]
    assert len(records) == 10
    assert len(set(records)) == 10
