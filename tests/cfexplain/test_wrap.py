"""Models that people already have become classifiers, and stay what they were."""

import pytest
import torch
from torch import nn

import cfexplain
from cfexplain.images import resize


@pytest.fixture(scope="module")
def resnet():
    from torchvision.models import resnet18

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return resnet18(weights=None, num_classes=3).eval()


def test_a_torchvision_model_is_wrapped_and_untouched(resnet):
    before = {k: v.clone() for k, v in resnet.state_dict().items()}
    classifier = cfexplain.wrap(resnet, taps=["layer1", "layer4"], classes=["a", "b", "c"], image_size=64)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    prediction = classifier(images)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(prediction.logits, resnet((images - mean[:, None, None]) / std[:, None, None]))
    assert [tuple(f.shape) for f in prediction.features] == [(2, 64, 16, 16), (2, 512, 2, 2)]
    assert all(torch.equal(v, before[k]) for k, v in resnet.state_dict().items())
    assert not any(m._forward_hooks for m in resnet.modules())
    assert isinstance(classifier, cfexplain.Classifier)


def test_a_wrapped_model_is_explained(resnet):
    classifier = cfexplain.wrap(resnet, taps=["layer1", "layer2"], classes=["a", "b", "c"], image_size=64)
    image = resize(torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)), 64)
    result = cfexplain.explain(classifier, image, method=cfexplain.PIXELS)
    assert result.found == (True,)
    assert all(p.grad is None for p in resnet.parameters())
    with pytest.raises(ValueError, match="no loss estimator"):
        cfexplain.explain(classifier, image, method=cfexplain.REGULARISED_DIP, budget=30)


class Flattening(nn.Module):
    """Reads its maps in memory order, as older models do: `view` refuses pictures with channels last."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, stride=8)
        self.last = nn.Linear(4 * 8 * 8, 2)

    def forward(self, x):
        x = self.convolution(x)
        return self.last(x.view(x.size(0), -1))


def test_a_model_that_flattens_by_view_is_explained():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Flattening().eval()
    classifier = cfexplain.wrap(model, taps=["convolution"], classes=["a", "b"], image_size=64)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for method in (cfexplain.WITHOUT_ESTIMATOR, cfexplain.PIXELS):
        assert cfexplain.explain(classifier, image, method=method, budget=2).steps[0] > 0


def test_a_timm_model_is_wrapped():
    import timm

    model = timm.create_model("mobilenetv3_small_050", num_classes=4).eval()
    classifier = cfexplain.wrap(model, taps=["blocks.1", "blocks.4"], classes=list("abcd"), image_size=64)
    assert len(classifier(torch.rand(1, 3, 64, 64)).features) == 2


def test_hooks_are_gone_after_an_error(resnet):
    classifier = cfexplain.wrap(resnet, taps=["layer1"], classes=["a", "b", "c"], image_size=64)
    with pytest.raises(RuntimeError):
        classifier(torch.rand(1, 5, 64, 64))
    assert not any(m._forward_hooks for m in resnet.modules())


def test_what_cannot_be_wrapped_is_refused(resnet):
    with pytest.raises(ValueError, match="training mode"):
        cfexplain.wrap(nn.Conv2d(3, 2, 1), classes=["a", "b"])
    with pytest.raises(ValueError, match="no layers"):
        cfexplain.wrap(resnet, taps=["layer9"], classes=["a", "b", "c"])
    with pytest.raises(TypeError, match="Module"):
        cfexplain.wrap(lambda x: x, classes=["a"])
    idle = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    idle[1].add_module("spare", nn.Identity().eval())
    classifier = cfexplain.wrap(idle, taps=["1.spare"], classes=["a", "b"])
    with pytest.raises(ValueError, match="no part"):
        classifier(torch.rand(1, 3, 2, 2))
