"""Checkpoints come back bit by bit, and broken ones are refused in a sentence."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from cfexplain_classifiers import Architecture, CheckpointError, LesionClassifier, load, save
from cfexplain_classifiers.checkpoint import SHIPPED, Card, describe, locate


@pytest.fixture
def network():
    return LesionClassifier(Architecture("lcnet_035", ("a", "b"), 32)).eval()


def test_a_checkpoint_comes_back_bit_by_bit(tmp_path, network):
    path = save(network, tmp_path / "x", Card(data="d", licence="l"))
    images = torch.rand(2, 3, 32, 32)
    again = load(path)
    assert torch.equal(again(images).logits, network(images).logits)
    assert torch.equal(again(images).loss, network(images).loss)
    assert not any(m.training for m in again.modules())
    assert describe(path)["licence"] == "l"
    half = save(network, tmp_path / "h", half=True)
    assert half.stat().st_size < 0.65 * path.stat().st_size
    assert torch.equal(load(save(load(half), tmp_path / "hh", half=True))(images).logits, load(half)(images).logits)


def test_broken_checkpoints_are_refused_in_a_sentence(tmp_path, network):
    path = save(network, tmp_path / "x")

    def broken(name, change):
        copy = tmp_path / f"{name}.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, copy)
        shutil.copy(path.with_suffix(".json"), copy.with_suffix(".json"))
        return copy

    first = "backbone.conv_stem.weight"
    cases = {
        "lacks": broken("missing", lambda t: t.pop(first)),
        "undefined weights": broken("nan", lambda t: t[first].fill_(float("nan"))),
        "has shape": broken("shape", lambda t: t.update({first: t[first][None].contiguous()})),
    }
    (tmp_path / "text.safetensors").write_text("no tensors")
    shutil.copy(path.with_suffix(".json"), tmp_path / "text.json")
    cases["not a complete safetensors"] = tmp_path / "text.safetensors"
    alone = tmp_path / "alone.safetensors"
    shutil.copy(path, alone)
    cases["alone.json is missing"] = alone
    for words, file in cases.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            load(file)
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="there is no classifier"):
        load(tmp_path / "nowhere")


def test_the_description_may_be_incomplete(tmp_path, network):
    path = save(network, tmp_path / "x")
    described = json.loads(path.with_suffix(".json").read_text())
    del described["architecture"]["backbone"]
    path.with_suffix(".json").write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match="lacks what is needed"):
        load(path)


def test_shipped_classifiers_load_and_say_under_which_terms():
    size = 0
    for name in SHIPPED:
        network, described = load(name), describe(locate(name))
        prediction = network(torch.rand(1, 3, network.image_size, network.image_size))
        assert prediction.logits.shape == (1, len(network.classes))
        assert bool(prediction.loss.isfinite().all())
        assert described["licence"]
        assert described["metrics"]["n"] > 100
        assert locate(name).with_suffix(".md").read_text().startswith(f"# `{name}`")
        size += locate(name).stat().st_size
    assert size <= 24e6
    assert tuple(load("ham10000").classes) == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert load("ham10000").image_size == 128


def with_architecture(**changes):
    return lambda card: card | {"architecture": card["architecture"] | changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card | {"scale": card["scale"] | {"std": float("nan")}}, "not finite"),
        (with_architecture(backbone="no_such_net"), "has no model"),
        (with_architecture(backbone="hf-hub:timm/lcnet_050.ra2_in1k"), "has no model"),
        (with_architecture(backbone=["lcnet_035"]), "lacks what is needed"),
        (with_architecture(image_size="32"), "lacks what is needed"),
        (with_architecture(options={"checkpoint_path": "weights.pth"}), "options .* are not supported"),
        (lambda card: card | {"architecture": []}, "lacks what is needed"),
        (lambda card: card | {"format": 99}, "checkpoint format 99"),
        (lambda card: [card], "does not describe"),
    ],
)
def test_a_damaged_or_hostile_description_is_refused_in_a_sentence(tmp_path, network, change, message):
    path = save(network, tmp_path / "x")
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(change(card)))
    with pytest.raises(CheckpointError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_description_from_before_an_option_was_dropped_is_read(tmp_path, network):
    path = save(network, tmp_path / "x")
    card = json.loads(path.with_suffix(".json").read_text())
    card["architecture"] |= {"mean": [0.5] * 3, "std": [0.5] * 3, "estimator_width": 128, "options": {}}
    path.with_suffix(".json").write_text(json.dumps(card))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(load(path)(images).logits, network(images).logits)


def test_a_dot_in_a_checkpoint_s_name_is_part_of_it(tmp_path, network):
    first, second = (save(network, tmp_path / name) for name in ("lesion-0.1", "lesion-0.2"))
    assert first != second
    assert len(list(tmp_path.glob("*.safetensors"))) == len(list(tmp_path.glob("*.json"))) == 2


def test_loading_a_classifier_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    load("synthetic")
    assert torch.equal(torch.random.get_rng_state(), before)
