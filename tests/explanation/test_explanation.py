"""One explanation: everything is computed once, survives saving bit by bit, and old folders still load."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from PIL import Image as PIL

from cfexplain import PIXELS, TV, describe, explain, load, panel, save
from cfexplain.explanation.explanation import Explanation
from cfexplain.explanation.figures import fullsize_figure, path_figures, seed_figures
from cfexplain.explanation.folder import FIGURES
from cfexplain.explanation.record import FORMAT, Provenance, parse, schema
from cfexplain.explanation.verdict import Kind
from cfexplain.types import Status
from toys import Toy, pale_images

OLD = Path(__file__).parent / "format-1"


@pytest.fixture(scope="module")
def edits():
    return [explain(Toy(), pale_images(1), "red", method=PIXELS, seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def explanation(edits):
    return describe(edits[0], Toy(), {"other": Toy(seed=1)}, others=edits[1:], provenance=Provenance("a/lesion.png"))


def test_what_is_saved_is_loaded_bit_by_bit(explanation, tmp_path):
    folder = save(replace(explanation, figures={"path.png": b"a picture"}), tmp_path / "one")
    again = load(folder)
    assert again.record == explanation.record
    for name, value in explanation.tensors().items():
        assert torch.equal(again.tensors()[name], value), name
    assert again.figures == {"path.png": b"a picture"}
    assert (again.verdict, again.readout, again.metrics) == (
        explanation.verdict, explanation.readout, explanation.metrics,
    )  # fmt: skip


def test_a_folder_holds_pictures_tensors_and_a_record(edits, explanation, tmp_path):
    figures = fullsize_figure(edits[0], torch.rand(3, 50, 70)) | path_figures(edits[0], Toy())
    figures |= seed_figures(edits, explanation.seeds)
    folder = save(replace(explanation, figures=figures), tmp_path / "one")
    pictures = {f"{name}.png" for name in ("query", "anchor", "counterfactual", "change", "panel")}
    assert {p.name for p in folder.iterdir()} == pictures | set(FIGURES) | {"tensors.safetensors", "result.json"}
    assert PIL.open(folder / "fullsize.png").size == (70, 50)


def test_it_shows_itself(explanation):
    assert explanation._repr_png_().startswith(b"\x89PNG")
    assert "found" in repr(explanation)
    both = explain(Toy(), pale_images(2), "red", method=PIXELS)
    assert len(panel(both).axes) >= 10
    assert "found" in repr(both)


def test_json_there_and_back_is_the_same(explanation):
    again = Explanation.from_json(json.loads(json.dumps(explanation.to_json())), explanation.tensors())
    assert again.to_json() == explanation.to_json()


def test_the_record_follows_its_published_schema(explanation):
    import jsonschema

    jsonschema.validate(explanation.to_json(), schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(explanation.to_json() | {"status": "unheard of"}, schema())


def test_a_figure_of_an_earlier_explanation_does_not_stay(explanation, tmp_path):
    save(replace(explanation, figures=dict.fromkeys(FIGURES, b"old")), tmp_path)
    save(explanation, tmp_path)
    assert not [name for name in FIGURES if (tmp_path / name).exists()]


def test_a_folder_of_format_1_loads(tmp_path):
    old, found = json.loads((OLD / "result.json").read_text()), load(OLD)
    assert (old["format"], found.record.format) == (1, FORMAT)
    assert found.metrics == {{"colour_cast": "colour_shift"}.get(n, n): v for n, v in old["metrics"].items()}
    assert found.words.strip() == old["words"]
    assert (found.source, found.target, found.status.value) == (old["source"], old["target"], old["status"])
    assert found.provenance.licence == "CC0-1.0"
    readout = found.readout
    sides = {"before": readout.before.numbers(), "after": readout.after.numbers(), "change": readout.change}
    numbers = {f"{name}_{side}": value for side, values in sides.items() for name, value in values.items()}
    assert numbers | {"inside": readout.inside} == pytest.approx(old["readout"])
    assert found.verdict.kind is Kind.UNCONFIRMED, "format 1 called it fragile where no oracle was asked"
    assert load(save(found, tmp_path)).record == found.record


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", b""), ("result.json", b"[]"), ("result.json", b"{}"), ("result.json", b'{"format": 2}'),
        ("tensors.safetensors", b""), ("tensors.safetensors", b"\0" * 64),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused_in_a_sentence(explanation, tmp_path, name, content):
    save(explanation, tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="explain the picture again"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["result.json", "tensors.safetensors"])
def test_a_missing_file_is_named(explanation, tmp_path, name):
    save(explanation, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"has no {name}"):
        load(tmp_path)


@pytest.mark.parametrize("field", ["status", "verdict", "metrics", "classes", "history"])
def test_a_record_of_other_types_is_refused(explanation, field):
    for wrong in (7, "x", [1], {"a": {"b": None}}):
        with pytest.raises(ValueError, match="schema"):
            parse(explanation.to_json() | {field: wrong})


def test_a_flip_from_a_poor_anchor_is_cautioned_against():
    edit = explain(Toy(), pale_images(1), "red", method=TV)
    assert edit.found[0]
    assert describe(edit, Toy()).caution is None
    poor = replace(edit, anchor=(edit.anchor + 0.1).clamp(0, 1))
    assert "20 dB" in describe(poor, Toy()).caution
    assert describe(replace(poor, status=(Status.NOT_FOUND,)), Toy()).caution is None, "there is nothing to read"


def test_what_is_the_target_already_has_no_readout():
    found = describe(explain(Toy(), pale_images(1), "pale", method=TV), Toy())
    assert (found.readout, found.seeds, found.verdict.kind) == (None, None, Kind.NONE)
    assert found.sentences == ("pale → pale: already target.", Status.ALREADY_TARGET.advice)


def test_seeds_are_compared_where_there_is_something_to_compare(explanation):
    assert 0 <= explanation.seeds.overlap <= 1
    assert explanation.seeds.agreement.shape == (32, 32)
    assert explanation.seeds.noise_floor is None, "free pixels have no anchor"


def test_several_images_are_described_one_by_one():
    both = explain(Toy(), pale_images(2), "red", method=PIXELS)
    with pytest.raises(ValueError, match="give result"):
        describe(both, Toy())
    assert [describe(one, Toy()).status for one in both] == [Status.FOUND] * 2


def test_hostile_names_are_kept_as_they_are(edits, tmp_path):
    name = "<b>\"'\u2028\\\ud800 line\nbreak".encode(errors="replace").decode()
    found = describe(edits[0], Toy(), {name: Toy(seed=1)}, provenance=Provenance(name, name, name))
    again = load(save(found, tmp_path))
    assert again.provenance.image == name
    assert list(again.verdict.oracles) == [name]


def test_numbers_that_json_has_no_word_for_are_none(edits):
    edit = replace(edits[0], history=([{"objective": float("nan"), "target_probability": 0.5}],))
    assert msgspec.to_builtins(describe(edit, Toy()).record)["history"] == [
        {"objective": None, "target_probability": 0.5}
    ]
