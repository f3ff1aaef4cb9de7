"""Classifiers by name: the shipped ones, those of other packages, and the user's own."""

import sys

import pytest

from cfexplain.classifier.sources import (
    class_of,
    device_of,
    licence_of,
    load_classifier,
    load_oracles,
    synthetic_lesion,
)
from cfexplain.plugins import load_object, plugin
from toys import Toy

PLUGIN = """
from toys import Toy

def load(name):
    return Toy(seed=int(name))

def card(name):
    return {"licence": "ours", "architecture": {"classes": ["pale", "red"], "image_size": 32}}
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Another package with an entry point for classifiers."""
    (tmp_path / "hospital.py").write_text(PLUGIN)
    metadata = tmp_path / "hospital-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hospital\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[cfexplain.classifiers]\nhospital = hospital\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("hospital", None)


def test_the_classifiers_of_another_package_are_found_by_its_entry_point(installed):
    assert plugin("classifiers").__name__ == "hospital"
    classifier = load_classifier("3", "cpu")
    assert isinstance(classifier, Toy)
    assert licence_of("3") == "ours"


def test_the_shipped_plug_ins_are_found():
    assert set(plugin("classifiers").NAMES) == {"synthetic", "ham10000", "isic2017", "witness"}
    assert callable(plugin("datasets").open_dataset)
    assert callable(plugin("trainers").train)


def test_what_is_not_installed_is_a_sentence():
    with pytest.raises(ValueError, match="no oracles are installed: pip install cfexplain"):
        plugin("oracles")


def test_an_object_that_cannot_be_imported_is_a_sentence():
    assert load_object("toys:Toy") is Toy
    for name in ("toys:Nothing", "nowhere:Toy"):
        with pytest.raises(ValueError, match=f"{name} cannot be imported"):
            load_object(name)


def test_the_witness_judges_where_it_knows_the_classes():
    toy = Toy()
    assert load_oracles((), "toys:Toy", toy) == {}
    toy.classes = tuple(plugin("classifiers").card("witness")["architecture"]["classes"])
    assert list(load_oracles((), "toys:Toy", toy)) == ["witness"]
    assert load_oracles((), "witness", toy) == {}
    assert load_oracles(("none",), "toys:Toy", toy) == {}
    assert list(load_oracles(("synthetic", "none"), "toys:Toy", toy)) == ["synthetic"]


def test_a_class_has_a_name_or_a_number():
    toy = Toy()
    assert [class_of(name, toy) for name in ("auto", "red", "0")] == ["auto", 1, 0]
    toy.classes = ("1", "0")
    assert class_of("1", toy) == 0
    for name in ("blue", "2"):
        with pytest.raises(ValueError, match="it knows 1, 0"):
            class_of(name, toy)


def test_only_what_is_a_classifier_is_loaded():
    with pytest.raises(ValueError, match="gave dict, not a classifier"):
        load_classifier("builtins:dict", "cpu")
    with pytest.raises(ValueError, match="training mode"):
        load_classifier("tests_methods:training_mode", "cpu")
    with pytest.raises(ValueError, match="abacus cannot be used here"):
        device_of("abacus")


def test_the_licence_of_weights_is_known_and_of_own_code_is_not():
    assert "CC BY-NC 4.0" in licence_of("ham10000")
    assert licence_of("toys:Toy") is None


def test_the_demonstration_is_a_malignant_lesion_that_is_predicted_as_such():
    lesion, other = synthetic_lesion(0), synthetic_lesion(1)
    assert lesion.label == 1
    assert lesion.id != other.id
    predicted = load_classifier("synthetic", "cpu")(lesion.image[None]).logits
    assert int(predicted.argmax()) == 1
