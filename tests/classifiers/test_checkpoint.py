"""Checkpoints come back bit by bit, and broken ones are refused in a sentence."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from cfexplain_classifiers import Architecture, CheckpointError, LesionClassifier, load, save
from cfexplain_classifiers.checkpoint import SHIPPED, Card, describe, locate
from cfexplain_classifiers.weights import load_backbone


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


def test_weights_are_matched_by_order_and_shape(tmp_path, network):
    other = LesionClassifier(Architecture("lcnet_035", ("a", "b", "c"), 32))
    renamed = {k: v.contiguous() for k, v in network.backbone.state_dict().items()}
    save_file(renamed, tmp_path / "w.safetensors")
    assert load_backbone(other.backbone, tmp_path / "w.safetensors") > 50
    stem = "conv_stem.weight"
    assert torch.equal(other.backbone.state_dict()[stem], network.backbone.state_dict()[stem])
    wrong = LesionClassifier(Architecture("lcnet_050", ("a", "b"), 32))
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_backbone(wrong.backbone, tmp_path / "w.safetensors")


def test_imagenet_weights_answer_as_their_reference(data):
    import timm

    from cfexplain.images import load_picture

    file = data / "weights" / "mobilenet_v2_1.0_224_imagenet_dequant_fp32.safetensors"
    model = timm.create_model("mobilenetv2_100", num_classes=1000, pad_type="same").eval()
    load_backbone(model, file)
    stored = load_file(file)
    model.classifier.load_state_dict({"weight": stored["classifier.1.weight"], "bias": stored["classifier.1.bias"]})
    cat = load_picture(data / "weights" / "test_images" / "cat_224.png")[None]
    top = model(cat * 255 / 127.5 - 1).topk(2)
    assert top.indices.tolist() == [[285, 281]]
    torch.testing.assert_close(top.values, torch.tensor([[14.141, 10.2248]]), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told | {"scale": told["scale"] | {"std": float("nan")}}, "not finite"),
        (lambda told: told | {"architecture": told["architecture"] | {"backbone": "no_such_net"}}, "has no model"),
        (lambda told: [told], "does not describe"),
    ],
)
def test_a_damaged_description_is_a_sentence(tmp_path, network, change, said):
    path = save(network, tmp_path / "x")
    told = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(change(told)))
    with pytest.raises(CheckpointError, match=said):
        load(path)
