"""Sections of the summary: found by file, in order, empty ones left out."""

import numpy as np
import pandas as pd
import pytest

from cfexplain.audit import sections
from cfexplain.audit.sections import Results, all_sections
from cfexplain.audit.sections.gaps import gaps
from cfexplain.audit.sections.suspects import suspects

NEW = '''
"""A section of a file that is added."""

from cfexplain.audit.sections import section


@section(15, "table")
def seeds(rows):
    """Which seeds were used?

    One line
    per row.
    """
    return [{"seed": seed} for seed in rows["seed"]]


@section(16, "table")
def nothing(rows):
    """Nothing."""
    return []
'''


def test_a_file_adds_its_sections_in_their_place(finished, tmp_path, monkeypatch):
    (tmp_path / "added.py").write_text(NEW)
    results = Results(finished.rows, ["synthetic"], finished.folder)
    known = [section.key for section in all_sections(results)]
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    monkeypatch.setattr(sections, "SECTIONS", list(sections.SECTIONS))
    found = all_sections(results)
    keys = [section.key for section in found]
    assert keys == ["outcomes", "seeds", *known[1:]]
    added = found[1]
    assert (added.title, added.note, added.kind) == ("Which seeds were used?", "One line per row.", "table")
    assert list(added.frame["seed"]) == [0] * 8


def test_lines_of_several_classifiers_name_theirs(finished):
    rows = pd.concat([finished.rows, finished.rows.assign(classifier="other")], ignore_index=True)
    both = {s.key: s.frame for s in all_sections(Results(rows, ["synthetic", "other"], finished.folder))}
    assert list(both["suspects"]["classifier"]) == ["synthetic"] * 5 + ["other"] * 5
    assert "agreement" in both


def test_the_artefact_with_the_strongest_effect_ranks_first():
    rows = pd.DataFrame({"image_id": map(str, range(30)), "lesion_id": map(str, range(30)), "status": "found"})
    rows["artefact.ink"], rows["artefact.hair"] = 0.02, 0.05
    rows["excess.ink"] = [0.4] * 15 + [np.nan] * 15
    rows["excess.hair"] = 0.05
    ranked = suspects(rows)
    assert [row["suspect"] for row in ranked] == ["ink", "hair"]
    assert ranked[0]["excess"] == pytest.approx(0.2)
    assert ranked[0]["excess_where_involved"] == pytest.approx(0.4)


def forty(**columns):
    """Rows of forty lesions; the changes of women's are larger by 0.2."""
    rows = pd.DataFrame({"image_id": map(str, range(40)), "lesion_id": map(str, range(40)), "status": "found"})
    rows["meta.sex"], rows["metric.mean_change"] = ["male", "female"] * 20, [0.1, 0.3] * 20
    return rows.assign(**columns)


@pytest.mark.parametrize("label", [{}, {"label": None}, {"label": ["mel"] * 20 + ["nv"] * 20}])
def test_groups_are_compared_with_and_without_labels(label):
    found = {row["group"]: row["mean"] for row in gaps(forty(**label), ["mean_change"])}
    assert found == pytest.approx({"sex: male": -0.2, "sex: female": 0.2})


def test_groups_that_the_label_decides_are_not_compared():
    assert gaps(forty(label=["mel", "nv"] * 20), ["mean_change"]) == []
