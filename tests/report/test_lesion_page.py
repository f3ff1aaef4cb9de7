"""The page of one explanation, and galleries of several."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cfexplain import Edit, Status
from cfexplain.dermoscopy.abcd import COLOURS, Appearance
from cfexplain.explanation.readout import Readout
from cfexplain.explanation.record import Provenance
from cfexplain.explanation.verdict import Kind, OracleAnswer, Verdict
from cfexplain.report import gallery, lesion_page, load_case, render, render_explanation
from cfexplain.report.glossary import APPEARANCE
from cfexplain.report.lesion import about, places
from cfexplain.report.page import LICENCE
from cfexplain.report.rows import plain
from report_pages import HOSTILE, assert_sound


def copied(folder: Path, to: Path, **changes: object) -> Path:
    """A lesion's folder with another record."""
    shutil.copytree(folder, to)
    record = json.loads((to / "result.json").read_text()) | changes
    (to / "result.json").write_text(json.dumps({k: v for k, v in record.items() if v is not ...}))
    return to


def test_a_page_shows_everything_that_its_folder_holds(lesion):
    text = lesion_page(load_case(lesion))
    outline = assert_sound(text)
    assert re.findall("<h2 .*?>(.*?)</h2>", text) == [
        "Query and counterfactual", "Probabilities", "Change", "Evidence", "The lesion before and after",
        "From query to counterfactual", "Attribution maps", "Details",
    ]  # fmt: skip
    assert LICENCE in text
    assert re.search("<p>Method pixels, seed 0, cfexplain .*, torch .*</p>", text)
    assert "The prediction flips from benign to malignant" in text
    assert all(image["src"].startswith("data:image/webp;base64,") for image in outline.images)
    assert len(text) < 500_000


def test_a_page_is_written_and_its_path_returned(lesion, tmp_path):
    path = render(lesion, tmp_path / "new")
    assert path == tmp_path / "new" / "report.html"
    assert path.read_text() == lesion_page(load_case(lesion))
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def page_of(folder: Path, **changes: object) -> str:
    """The page of a folder's explanation with other parts."""
    case = load_case(folder)
    return lesion_page(replace(case, explanation=replace(case.explanation, **changes)))


def edited(folder: Path, **changes: object) -> Edit:
    """The folder's edit with other values."""
    return replace(load_case(folder).explanation.edit, **changes)


def test_the_page_of_a_folder_and_of_the_object_that_was_saved_are_the_same(lesion, tmp_path):
    folder = copied(lesion, tmp_path / "lesion-0")
    explanation = load_case(folder).explanation
    text = render_explanation(explanation, folder).read_text()
    assert text == render(folder, tmp_path / "again").read_text()
    assert "Attribution maps" in text


def test_a_folder_of_format_1_has_a_page():
    text = lesion_page(load_case(Path(__file__).parents[1] / "explanation" / "format-1"))
    assert_sound(text)
    assert "The prediction flips from pale to red" in text
    assert "no independent classifier could confirm it" in text


@pytest.mark.parametrize("status", ["not_found", "already_target", "diverged", "out_of_budget"])
def test_a_search_that_failed_says_so_first(lesion, status):
    text = page_of(lesion, edit=edited(lesion, status=(Status(status),)), readout=None)
    assert_sound(text)
    assert re.search(rf"<h1>.* → .*: {status.replace('_', ' ')}.</h1>", text)
    assert Status(status).advice in text


def test_hostile_text_stays_text(lesion):
    verdict = Verdict(Kind.SEMANTIC, {HOSTILE: True}, {HOSTILE: OracleAnswer(False, False, None)}, None, 0.1, 50.0)
    text = page_of(
        lesion,
        verdict=verdict,
        metrics={HOSTILE: 1.0},
        provenance=Provenance(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),
        edit=edited(lesion, classes=(HOSTILE, HOSTILE + "2"), settings={"name": HOSTILE}, method=HOSTILE),
    )
    outline = assert_sound(text)
    assert outline.tags.count("script") == 1
    assert "onerror" not in {k for image in outline.images for k in image}
    assert "<script>alert" not in text


def test_the_licence_of_the_classifier_replaces_the_general_sentence(lesion):
    text = page_of(lesion, provenance=Provenance("a.png", "ham10000", "CC BY-NC 4.0"))
    assert "Classifier ham10000: CC BY-NC 4.0" in text
    assert LICENCE not in text


def test_the_shape_of_a_lesion_that_is_cut_off_is_not_compared(lesion):
    look = Appearance(0.1, 5, 1.1, 0.3, dict.fromkeys(COLOURS, 0.0), 0.4, 51, 0.5, 30, 8)
    changed = Readout(look, replace(look, irregularity=3.0), 0.9)
    marked, unmarked = (page_of(lesion, readout=replace(changed, cut_off=cut)) for cut in (False, True))
    assert marked.count("stands out</strong>") == unmarked.count("stands out</strong>") + 1
    assert unmarked.count(">not compared") == 2


def test_several_lesions_get_a_gallery_with_their_pages(lesions, tmp_path):
    path = render(lesions, tmp_path / "new")
    outline = assert_sound(path.read_text())
    pages = [a for a in outline.addresses if a.startswith("pages/")]
    assert len(pages) == 3
    assert len(outline.images) == 9
    for page in pages:
        inner = assert_sound((path.parent / page).read_text())
        assert "../report.html" in inner.addresses


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_record_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    (tmp_path / "tensors.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="explain the picture again"):
        render(tmp_path)


def test_a_folder_with_nothing_to_show_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="holds nothing to report"):
        render(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        render(tmp_path / "nowhere")


def test_an_output_that_is_a_file_is_refused_in_a_sentence(lesion, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        render(lesion, tmp_path / "file")


def test_maps_of_another_target_are_left_out(lesion, tmp_path):
    other = copied(lesion, tmp_path / "other")
    record, comparison = (json.loads((other / name).read_text()) for name in ("result.json", "comparison.json"))
    same = comparison | {"source": record["source"], "target": record["target"]}
    (other / "comparison.json").write_text(json.dumps(same))
    assert "Attribution maps" in lesion_page(load_case(other))
    (other / "comparison.json").write_text(json.dumps(same | {"target": "another"}))
    assert "Attribution maps" not in lesion_page(load_case(other))


@pytest.mark.parametrize("status", [Status.NOT_FOUND, Status.ALREADY_TARGET])
def test_of_what_did_not_flip_no_flip_is_judged(lesion, status):
    assert "Is the flip robust" not in page_of(lesion, edit=edited(lesion, status=(status,)))
    assert "Is the flip robust" in page_of(lesion)


def test_why_an_oracle_does_not_count(lesion):
    verdict = load_case(lesion).explanation.verdict
    for gain, reason in ((None, "It does not know the class malignant"), (0.1, "It does not predict benign")):
        oracles = {"other": OracleAnswer(False, False, gain)}
        assert reason in page_of(lesion, verdict=replace(verdict, oracles=oracles))


def test_no_oracle_disagrees_where_none_was_asked(lesion):
    verdict = replace(load_case(lesion).explanation.verdict, kind=Kind.UNCONFIRMED, oracles={}, oracle_agreement=None)
    text = page_of(lesion, verdict=verdict)
    assert "No independent classifier was provided." in text
    assert "unconfirmed</span>" in text
    assert not re.search("disagree|do not flip|not predict", text.partition("<main")[2])


@pytest.mark.parametrize("agreement", [0.81, None])
def test_how_far_the_searches_agree_is_said_where_there_were_several(lesion, agreement):
    text = page_of(lesion, metrics={**load_case(lesion).explanation.metrics, "search_agreement": agreement})
    assert ("Do the searches agree?" in text) == (agreement is not None)
    assert ("0.81" in text) == (agreement is not None)


def test_one_damaged_record_costs_its_own_page_alone(lesions, tmp_path):
    shutil.copytree(lesions, tmp_path / "some")
    (tmp_path / "some" / "lesion-1" / "tensors.safetensors").write_bytes(b"no tensors")
    path = render(tmp_path / "some")
    outline = assert_sound(path.read_text())
    pages = [a for a in outline.addresses if a.startswith("pages/")]
    assert len(pages) == 3
    assert "cannot be read" in (path.parent / "pages" / "lesion-1.html").read_text()
    assert "Probabilities" in (path.parent / "pages" / "lesion-2.html").read_text()


def test_attribution_maps_of_another_search_are_not_shown(lesion, tmp_path):
    assert "Attribution maps</h2>" in lesion_page(load_case(lesion))
    for name, other in (("image", "other.png"), ("seed", 7), ("target", "benign")):
        comparison = json.loads((lesion / "comparison.json").read_text())
        folder = copied(lesion, tmp_path / name)
        (folder / "comparison.json").write_text(json.dumps(comparison | {name: other}))
        assert "Attribution maps</h2>" not in lesion_page(load_case(folder))


def test_numbers_that_are_names_stay_whole():
    assert plain(72610531.0) == 72610531
    assert plain(0.123456) == 0.1235
    assert dict(about({"meta.patient_id": 72610531, "meta.year": 2019})) == {"patient id": "72610531", "year": "2019"}


def test_a_damaged_figure_is_left_out(lesion, tmp_path):
    folder = copied(lesion, tmp_path / "damaged")
    for name in ("seeds", "comparison", "curves"):
        (folder / f"{name}.png").write_bytes(b"no image")
    text = render(folder).read_text()
    assert "Change by seed" not in text
    assert "Deletion and insertion" not in text
    assert "Agreement with the change" in text


def test_the_card_of_a_gallery_links_to_its_page(lesions, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "A_PAGE", 2)
    first = render(lesions, tmp_path).read_text()
    second = (tmp_path / "pages" / "gallery-002.html").read_text()
    assert "3 lesions in lesions" in first
    assert "pages/lesion-1.html" in assert_sound(first).addresses
    assert {"lesion-2.html", "../report.html#gallery"} <= set(assert_sound(second).addresses)
    assert "3 to 3 of 3" in second


def test_shares_of_places_are_shown_also_where_they_are_whole():
    row = {"place.lesion": 1, "place.skin": 0.0, "on.hair": 0.25, "effect.lesion": None, "label": "nv"}
    assert places(row) == {"Share of the change": {"lesion": 1, "skin": 0.0}, "Share on artefacts": {"hair": 0.25}}


def test_a_row_of_an_audit_adds_what_the_data_set_knows(lesion):
    row = {"label": "nv", "place.lesion": 0.8, "artefact.dark_corner": 0.02, "artefact.ink": 0, "meta.sex": "female"}
    text = lesion_page(load_case(lesion, row))
    assert_sound(text)
    assert "Where the change lies, and its effect" in text
    assert "<dt>artefact dark corner</dt><dd>2\u202f%</dd>" in text
    assert "artefact ink" not in text


def test_every_measure_of_a_lesion_has_a_row(lesion):
    readout = load_case(lesion).explanation.readout
    names = {name for measures in APPEARANCE.values() for name in measures}
    assert names == set(readout.before.numbers()) - {"colours", "pixels"}
    page = page_of(lesion)
    assert all(f">{title}<" in page for measures in APPEARANCE.values() for title, _ in measures.values())
    assert "ABCD criteria" not in page_of(lesion, readout=None)


def test_the_page_says_that_hair_was_removed(lesion):
    assert "removed beforehand" not in lesion_page(load_case(lesion))
    text = page_of(lesion, provenance=Provenance("a.png", hair_removal="dullrazor"))
    assert "Hair and ruler marks were removed beforehand (dullrazor)" in text
