import json
import re
import shutil
from pathlib import Path

import pytest

from cfexplain.appearance import COLOURS, Appearance
from cfexplain.readout import Readout
from cfexplain.report import lesion_page, render
from cfexplain.report.lesion import CUT_OFF, about
from cfexplain.report.page import LICENCE
from cfexplain.report.rows import plain
from report_pages import HOSTILE, assert_sound


def copied(folder: Path, to: Path, **changes: object) -> Path:
    """A lesion's folder with another record."""
    shutil.copytree(folder, to)
    record = json.loads((to / "result.json").read_text()) | changes
    (to / "result.json").write_text(json.dumps({k: v for k, v in record.items() if v is not ...}))
    return to


def test_a_lesions_page_shows_everything_that_its_folder_holds(lesion):
    text = lesion_page(lesion)
    outline = assert_sound(text)
    headings = ("Probabilities", "Change", "speaks for", "before and after", "The path", "Attribution maps", "Details")
    assert all(heading in text for heading in headings)
    assert LICENCE in text
    assert re.search("<p>Method pixels, seed 0, cfexplain .*, torch .*</p>", text)
    assert "The prediction flips from benign to malignant" in text
    assert all(image["src"].startswith("data:image/webp;base64,") for image in outline.images)
    assert len(text) < 500_000


def test_a_page_is_written_whole_and_given_back(lesion, tmp_path):
    path = render(lesion, tmp_path / "new")
    assert path == tmp_path / "new" / "report.html"
    assert path.read_text() == lesion_page(lesion)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


PARTS = ["verdict", "readout", "words", "metrics", "probabilities", "history", "method", "versions", "seed", "image"]


@pytest.mark.parametrize("missing", PARTS)
def test_a_page_stays_useful_without_a_part_of_the_record(lesion, tmp_path, missing):
    assert_sound(lesion_page(copied(lesion, tmp_path / "one", **{missing: ...})))


def test_a_page_stays_useful_with_a_record_alone(lesion, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "result.json").write_text("{}")
    outline = assert_sound(lesion_page(folder))
    assert not outline.images


def test_a_damaged_picture_and_damaged_tensors_are_left_out(lesion, tmp_path):
    folder = copied(lesion, tmp_path / "one")
    (folder / "anchor.png").write_bytes(b"no picture")
    (folder / "tensors.safetensors").write_bytes(b"no tensors")
    text = lesion_page(folder)
    assert_sound(text)
    assert "The anchor" not in text
    assert "Purple is darker" in text


@pytest.mark.parametrize("status", ["not_found", "already_target", "diverged", "out_of_budget"])
def test_a_search_that_failed_says_so_first(lesion, tmp_path, status):
    folder = copied(lesion, tmp_path / "one", status=status, words=..., readout=..., advice="Try more steps.")
    text = lesion_page(folder)
    assert_sound(text)
    assert re.search(rf"<h1>.* → .*: {status.replace('_', ' ')}</h1>", text)
    assert "Try more steps." in text


def test_hostile_text_stays_text(lesion, tmp_path):
    verdict = {
        "kind": HOSTILE,
        "meaning": HOSTILE,
        "survives": {HOSTILE: True},
        "oracles": {HOSTILE: {"counted": False}},
    }
    folder = copied(
        lesion, tmp_path / "one", image=HOSTILE, words=HOSTILE, source=HOSTILE, target=HOSTILE, verdict=verdict,
        metrics={HOSTILE: 1.0}, method={"name": HOSTILE}, versions={HOSTILE: HOSTILE}, licence=HOSTILE,
        probabilities={"query": {HOSTILE: 0.5}, "counterfactual": {HOSTILE: 0.5}},
    )  # fmt: skip
    text = lesion_page(folder)
    outline = assert_sound(text)
    assert outline.tags.count("script") == 1
    assert "onerror" not in {k for image in outline.images for k in image}
    assert "<script>alert" not in text


def test_the_licence_of_the_classifier_replaces_the_general_sentence(lesion, tmp_path):
    about = {"name": "ham10000", "licence": "CC BY-NC 4.0"}
    text = lesion_page(copied(lesion, tmp_path / "one", classifier=about))
    assert "Classifier ham10000: CC BY-NC 4.0" in text
    assert LICENCE not in text


def test_what_the_rim_cuts_is_not_marked(lesion, tmp_path):
    look = Appearance(0.1, 5, 1.1, 0.3, dict.fromkeys(COLOURS, 0.0), 0.4, 51, 0.5, 30, 8)
    said = Readout(look, look, 0.9, cut_off=True).words("nv", "mel")
    assert CUT_OFF in said
    record = json.loads((lesion / "result.json").read_text())
    numbers = record["readout"] | {"irregularity_before": 1.0, "irregularity_after": 3.0}
    marked = lesion_page(copied(lesion, tmp_path / "whole", readout=numbers, words="A whole lesion."))
    unmarked = lesion_page(copied(lesion, tmp_path / "cut", readout=numbers, words=said))
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


def test_maps_of_another_question_are_left_out(lesion, tmp_path):
    other = copied(lesion, tmp_path / "other")
    record, told = (json.loads((other / name).read_text()) for name in ("result.json", "comparison.json"))
    same = told | {"source": record["source"], "target": record["target"]}
    (other / "comparison.json").write_text(json.dumps(same))
    assert "Attribution maps" in lesion_page(other)
    (other / "comparison.json").write_text(json.dumps(same | {"target": "another"}))
    assert "Attribution maps" not in lesion_page(other)


@pytest.mark.parametrize("status", ["not_found", "already_target"])
def test_of_what_did_not_flip_no_flip_is_judged(lesion, tmp_path, status):
    text = lesion_page(copied(lesion, tmp_path / "one", status=status))
    assert "Does the flip survive" not in text
    assert "Does the flip survive" in lesion_page(copied(lesion, tmp_path / "two", status="found"))


def test_an_oracle_that_does_not_know_the_target_is_said_to(lesion, tmp_path):
    record = json.loads((lesion / "result.json").read_text())
    for gain, said in ((None, "It does not know the class malignant"), (0.1, "It did not see benign")):
        verdict = record["verdict"] | {"oracles": {"other": {"counted": False, "flipped": False, "gain": gain}}}
        assert said in lesion_page(copied(lesion, tmp_path / said, verdict=verdict))


def test_attribution_maps_of_another_picture_are_not_shown(lesion, tmp_path):
    assert "Attribution maps beside it" in lesion_page(lesion)
    for name, other in (("image", "other.png"), ("seed", 7), ("target", "benign")):
        told = json.loads((lesion / "comparison.json").read_text())
        folder = copied(lesion, tmp_path / name)
        (folder / "comparison.json").write_text(json.dumps(told | {name: other}))
        assert "Attribution maps beside it" not in lesion_page(folder)


def test_a_full_stop_in_a_class_name_ends_no_sentence(lesion, tmp_path):
    first = "The prediction flips from E. coli to P. x when the border becomes 9 % more irregular."
    words = f"{first} 90 % of the change lies on the lesion."
    text = lesion_page(copied(lesion, tmp_path / "one", words=words))
    assert f"<h1>{first}</h1>" in text.replace("\u202f", " ")


def test_numbers_that_are_names_stay_whole():
    assert plain(72610531.0) == 72610531
    assert plain(0.123456) == 0.1235
    assert dict(about({"meta.patient_id": 72610531, "meta.year": 2019})) == {"patient id": "72610531", "year": "2019"}
