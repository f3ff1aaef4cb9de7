"""The network: backbones by name, refusals, and ImageNet weights from a local file."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from cfexplain_classifiers import Architecture, LesionClassifier
from cfexplain_classifiers.network import load_backbone


@pytest.fixture
def network():
    return LesionClassifier(Architecture("lcnet_035", ("a", "b"), 32)).eval()


def test_a_misspelt_backbone_is_answered_with_similar_names():
    with pytest.raises(ValueError, match="is it lcnet_035"):
        LesionClassifier(Architecture("lcnett_035", ("a", "b"), 32))


@pytest.mark.parametrize(
    "name", ["hf-hub:timm/lcnet_050.ra2_in1k", "lcnet_035.a/b", "local-dir:/tmp", "lcnet_035.a\\b"]
)
def test_addresses_of_a_hub_or_a_folder_are_refused(name):
    with pytest.raises(ValueError, match="has no model"):
        LesionClassifier(Architecture(name, ("a", "b"), 32))


def test_weights_are_matched_by_order_and_shape(tmp_path, network):
    other = LesionClassifier(Architecture("lcnet_035", ("a", "b", "c"), 32))
    save_file({k: v.contiguous() for k, v in network.backbone.state_dict().items()}, tmp_path / "w.safetensors")
    load_backbone(other.backbone, tmp_path / "w.safetensors")
    *body, _, _ = other.backbone.state_dict()
    assert len(body) > 50
    assert all(torch.equal(other.backbone.state_dict()[k], network.backbone.state_dict()[k]) for k in body)
    wrong = LesionClassifier(Architecture("lcnet_050", ("a", "b"), 32))
    with pytest.raises(ValueError, match="does not hold the weights"):
        load_backbone(wrong.backbone, tmp_path / "w.safetensors")


def test_a_file_that_holds_no_weights_is_a_sentence(tmp_path, network):
    (tmp_path / "w.pth").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="no safetensors file"):
        load_backbone(network.backbone, tmp_path / "w.pth")


def test_imagenet_weights_predict_as_their_reference(data):
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
