"""captum's methods by name on every kind of classifier: shapes, meaning, limits, and nothing left behind."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import cfexplain
from cfexplain.attribution import HEATMAPS, Logits
from cfexplain.attribution.methods import blurred, superpixels
from cfexplain_classifiers import fit_estimator, load
from cfexplain_datasets.synthetic import SyntheticLesions
from toys import Toy, pale_images

ANYWHERE = [name for name in HEATMAPS if name != "deep-lift"]


class Plain(nn.Module):
    """A small network of ReLUs, each used once."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.act = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(inplace=True)
            self.second, self.last = nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU()
            self.head = nn.Linear(8, 2)

    def forward(self, images):
        return self.head(self.last(self.second(self.act(self.first(images)))).mean(dim=(2, 3)))


class Counting(Plain):
    """Records the largest batch."""

    largest = 0

    def forward(self, images):
        self.largest = max(self.largest, len(images))
        return super().forward(images)


def plain():
    return cfexplain.wrap(Plain().eval(), classes=["a", "b"], image_size=32)


def resnet():
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=2).eval()
    return cfexplain.wrap(model, taps=["layer2", "layer4"], classes=["a", "b"], image_size=64)


def timm_model():
    import timm

    torch.manual_seed(0)
    model = timm.create_model("mobilenetv3_small_050", num_classes=2).eval()
    return cfexplain.wrap(model, classes=["a", "b"], image_size=64)


@pytest.fixture(scope="module")
def lesion():
    return SyntheticLesions(1, 64, split="test")[0].image[None]


@pytest.mark.parametrize("build", [lambda: load("synthetic"), resnet, timm_model], ids=["shipped", "resnet18", "timm"])
def test_every_method_reads_every_kind_of_classifier_and_leaves_it_untouched(build, lesion):
    classifier = build()
    module, image = classifier.module, lesion.clone()
    state = {k: v.clone() for k, v in module.state_dict().items()}
    torch.manual_seed(1), np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for name in ANYWHERE:
        found = cfexplain.attribute(classifier, image, 1, name, counterfactual=image.flip(3), internal_batch_size=8)
        assert found.shape == (1, 64, 64), name
        assert found.isfinite().all(), name
        assert float(found.std()) > 0, f"{name} is constant"
        assert not found.requires_grad
    assert torch.equal(torch.get_rng_state(), before[0]), "torch's global generator was moved"
    assert np.array_equal(np.random.get_state()[1], before[1]), "numpy's global generator was moved"
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert not any(m.training for m in module.modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not any(getattr(m, h) for m in module.modules() for h in hooks)
    assert all(p.grad is None for p in module.parameters())
    assert image.grad is None
    assert not image.requires_grad


@pytest.mark.parametrize("name", ["saliency", "input-x-gradient", "integrated-gradients", "occlusion", "superpixels"])
def test_a_map_points_at_the_only_pixels_that_count(name):
    found = cfexplain.attribute(Toy(), pale_images(1), "red", name)[0].abs()
    inside = found[8:-8, 8:-8].mean()
    assert float(inside) > 0
    assert float(found[:3].max()) < 0.2 * float(inside), "the border takes no part in the prediction"


def test_integrated_gradients_are_complete_from_each_baseline():
    classifier, image = plain(), pale_images(1)
    bright = (image + 0.2).clamp(0, 1)
    logits = Logits(classifier)
    for name, baseline in (
        ("integrated-gradients", torch.zeros_like(image)),
        ("integrated-gradients-blurred", blurred(image)),
        ("integrated-gradients-counterfactual", bright),
    ):
        total = float(cfexplain.attribute(classifier, image, 0, name, counterfactual=bright).sum())
        with torch.no_grad():
            expected = float((logits(image) - logits(baseline))[0, 0])
        assert total == pytest.approx(expected, abs=2e-3), name


def test_deep_lift_where_it_works_and_a_sentence_where_it_does_not(lesion):
    classifier, image = plain(), pale_images(1)
    logits = Logits(classifier)
    total = float(cfexplain.attribute(classifier, image, 1, "deep-lift").sum())
    expected = float((logits(image) - logits(torch.zeros_like(image)))[0, 1].detach())
    assert total == pytest.approx(expected, abs=1e-3), "DeepLift sums to the difference from its baseline"
    with pytest.raises(ValueError, match="use gradient-shap"):
        cfexplain.attribute(resnet(), lesion, 0, "deep-lift")
    with pytest.raises(ValueError, match="other than ReLU"):
        cfexplain.attribute(load("synthetic"), lesion, 0, "deep-lift")


def test_guiding_reaches_activations_that_captum_does_not_know(lesion):
    classifier = load("synthetic")
    model = Logits(classifier)
    twin = model.rectified()
    assert torch.allclose(twin(lesion), model(lesion), atol=1e-5)
    assert sum(isinstance(m, nn.ReLU) for m in twin.modules()) > 10 * sum(
        isinstance(m, nn.ReLU) for m in model.modules()
    )
    with pytest.raises(ValueError, match="need activations that are modules"):
        cfexplain.attribute(Toy(), pale_images(1), 0, "guided-gradcam")


def test_a_batch_is_its_images_alone_in_any_order():
    classifier, images = plain(), pale_images(3)
    for name in ("smoothgrad", "gradient-shap", "superpixels"):
        together = cfexplain.attribute(classifier, images, 1, name)
        turned = cfexplain.attribute(classifier, images.flip(0), 1, name)
        assert torch.equal(turned.flip(0), together), name
        other = cfexplain.attribute(classifier, images, 1, name, seed=1)
        assert torch.equal(together, other) == (name == "superpixels"), "the seed is of the noise"


@pytest.mark.parametrize("name", [n for n in ANYWHERE if n != "guided-gradcam"])
def test_memory_is_bounded(name):
    counting, image = Counting().eval(), pale_images(1)
    classifier = cfexplain.wrap(counting, classes=["a", "b"], image_size=32)
    cfexplain.attribute(classifier, image, 1, name, counterfactual=image, internal_batch_size=4)
    assert 1 <= counting.largest <= 4


def test_targets_by_name_by_image_and_by_prediction():
    classifier, images = Toy(), pale_images(2)
    pale, red = (cfexplain.attribute(classifier, images, t, "input-x-gradient") for t in ("pale", "red"))
    assert torch.allclose(pale, -red, atol=1e-5), "two classes whose logits are opposite"
    mixed = cfexplain.attribute(classifier, images, ["pale", 1], "input-x-gradient")
    assert torch.equal(mixed, torch.stack([pale[0], red[1]]))
    assert torch.equal(cfexplain.attribute(classifier, images, using="input-x-gradient"), pale), "toys call it pale"
    assert torch.equal(cfexplain.attribute(classifier, images, torch.tensor([0, 1]), "input-x-gradient"), mixed)


def test_any_captum_object_and_any_function():
    from captum.attr import Deconvolution, LayerActivation

    classifier, images = plain(), pale_images(2)
    model = Logits(classifier)
    deconvolved = cfexplain.attribute(classifier, images, 0, Deconvolution(model))
    assert deconvolved.shape == (2, 32, 32)
    layered = cfexplain.attribute(
        classifier, images, 0, lambda x, target: LayerActivation(model, model.inner.second).attribute(x)
    )
    assert layered.shape == (2, 32, 32), "a layer's map is enlarged"
    with pytest.raises(ValueError, match="answer with maps"):
        cfexplain.attribute(classifier, images, 0, lambda x, target: x.sum())


def bounded_captum_objects(model):
    """Captum's methods by the name of their memory limit, as users would give them, without a limit."""
    from captum.attr import FeatureAblation, IntegratedGradients, KernelShap, NoiseTunnel, Occlusion, Saliency

    squares = torch.arange(64).view(8, 8).repeat_interleave(4, 0).repeat_interleave(4, 1)[None, None]
    return {
        "internal_batch_size": IntegratedGradients(model),
        "perturbations_per_eval": partial(
            Occlusion(model).attribute, sliding_window_shapes=(3, 8, 8), strides=(3, 4, 4)
        ),
        "perturbations_per_eval of regions": partial(FeatureAblation(model).attribute, feature_mask=squares),
        "perturbations_per_eval of samples": partial(KernelShap(model).attribute, feature_mask=squares, n_samples=40),
        "nt_samples_batch_size": partial(NoiseTunnel(Saliency(model)).attribute, nt_samples=10, stdevs=0.1),
        "both": partial(NoiseTunnel(IntegratedGradients(model)).attribute, nt_samples=6, stdevs=0.1, n_steps=8),
    }


@pytest.mark.parametrize("name", bounded_captum_objects(None))
def test_the_memory_of_captum_objects_is_bounded_and_their_maps_are_the_same(name):
    counting, image = Counting().eval(), pale_images(1)
    classifier = cfexplain.wrap(counting, classes=["a", "b"], image_size=32)
    using, maps = bounded_captum_objects(Logits(classifier))[name], {}
    for batch in (3, 4):
        counting.largest = 0
        maps[batch] = cfexplain.attribute(classifier, image, 1, using, internal_batch_size=batch)
        assert counting.largest == batch, "as many as allowed, and not one more"
    assert float(maps[3].abs().max()) > 0
    assert torch.allclose(maps[3], maps[4], atol=1e-3 * float(maps[4].abs().max()))


def test_what_the_user_has_set_is_kept():
    from captum.attr import IntegratedGradients, NoiseTunnel, Occlusion, Saliency

    counting, image = Counting().eval(), pale_images(1)
    classifier = cfexplain.wrap(counting, classes=["a", "b"], image_size=32)
    model = Logits(classifier)
    for using, wanted in (
        (partial(IntegratedGradients(model).attribute, internal_batch_size=7), 7),
        (partial(IntegratedGradients(model).attribute, n_steps=20, internal_batch_size=None), 20),
        (partial(Occlusion(model).attribute, sliding_window_shapes=(3, 8, 8), perturbations_per_eval=5), 5),
        (partial(NoiseTunnel(Saliency(model)).attribute, nt_samples=9, nt_samples_batch_size=6), 6),
        (lambda x, target: Saliency(model).attribute(x.repeat(9, 1, 1, 1), target=target)[:1], 9),
    ):
        counting.largest = 0
        cfexplain.attribute(classifier, image, 1, using, internal_batch_size=4)
        assert counting.largest == wanted


def test_the_randomness_of_captum_objects_is_their_own():
    from captum.attr import GradientShap, NoiseTunnel, Saliency, ShapleyValueSampling

    classifier, images = plain(), pale_images(2)
    model, squares = Logits(classifier), torch.arange(4).view(2, 2).repeat_interleave(16, 0).repeat_interleave(16, 1)
    baselines = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for using in (
        partial(NoiseTunnel(Saliency(model)).attribute, stdevs=0.2),
        partial(GradientShap(model).attribute, baselines=baselines, stdevs=0.1),
        partial(ShapleyValueSampling(model).attribute, feature_mask=squares[None, None], n_samples=2),
        lambda x, target: torch.from_numpy(np.random.rand(1, 1, 32, 32)),
    ):
        torch.manual_seed(1), np.random.seed(1)
        before = torch.get_rng_state(), np.random.get_state()
        found = cfexplain.attribute(classifier, images, 1, using)
        assert torch.equal(torch.get_rng_state(), before[0]), "torch's global generator was moved"
        assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[1], strict=True))
        torch.manual_seed(2), np.random.seed(2)
        assert torch.equal(cfexplain.attribute(classifier, images, 1, using), found), "the global state plays no part"
        assert torch.equal(cfexplain.attribute(classifier, images.flip(0), 1, using).flip(0), found)
        assert not torch.equal(cfexplain.attribute(classifier, images, 1, using, seed=1), found)


def test_the_layer_of_gradcam():
    classifier, image = resnet(), pale_images(1, size=64)
    model = Logits(classifier)
    network = classifier.module
    assert model.layer(None, image) is network.layer2, "the deepest tap with at least seven places"
    assert model.layer("layer3.1", image) is network.layer3[1]
    named = [cfexplain.attribute(classifier, image, 0, "gradcam", layer=name) for name in ("layer2", "layer4")]
    assert torch.equal(named[0], cfexplain.attribute(classifier, image, 0, "gradcam"))
    assert not torch.equal(*named)
    with pytest.raises(ValueError, match="no part in the logit: name another"):
        cfexplain.attribute(Toy(), pale_images(1), 0, "gradcam")
    with pytest.raises(ValueError, match="no layer 'layer9'; its last ones are"):
        cfexplain.attribute(classifier, image, 0, "gradcam", layer="layer9")


def test_bad_input_is_refused_in_a_sentence():
    classifier, images = Toy(), pale_images(2)
    for wrong, sentence in (
        ({"using": "lime"}, "no attribution method lime: use saliency"),
        ({"target": "blue"}, "no class 'blue'"),
        ({"target": [0]}, "one for each: got 1 for 2"),
        ({"using": "integrated-gradients-counterfactual"}, "give `counterfactual`"),
        ({"internal_batch_size": 0}, "at least 1"),
        ({"counterfactual": images[:1]}, "images' shape"),
    ):
        with pytest.raises(ValueError, match=sentence):
            cfexplain.attribute(classifier, images, **wrong)
    with pytest.raises(ValueError, match="training mode"):
        cfexplain.attribute(Toy().train(), images)
    with pytest.raises(TypeError, match="captum object"):
        cfexplain.attribute(classifier, images, using=3)


def test_superpixels_are_numbered_without_gaps(lesion):
    labels = superpixels(lesion[0])
    assert labels.shape == (64, 64)
    assert torch.equal(labels.unique(), torch.arange(int(labels.max()) + 1))
    assert 20 < int(labels.max()) < 128


@pytest.mark.parametrize("name", ["occlusion", "superpixels"])
def test_ablations_are_in_units_of_the_logit(name):
    """Of a network that averages an image, the map is what each part has more than its blur."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    classifier = cfexplain.wrap(network, classes=["a", "b"], image_size=32, mean=(0, 0, 0), std=(1, 1, 1))
    image = torch.zeros(1, 3, 32, 32)
    image[..., 12:20, 12:20] = 1
    found = cfexplain.attribute(classifier, image, 0, name)
    with torch.no_grad():
        whole, none = (float(classifier(x).logits[0, 0]) for x in (image, torch.zeros_like(image)))
    assert float(found.abs().max()) <= 1.01 * abs(whole - none), "no part does more than all together"


@pytest.mark.parametrize("function", [torch.tanh, nn.functional.gelu])
def test_deep_lift_refuses_a_network_with_functions_that_are_not_layers(function):
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.relu, self.last = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2)

        def forward(self, x):
            return self.last(function(3 * self.relu(self.first(x))).mean((2, 3)))

    classifier = cfexplain.wrap(Hidden().eval(), classes=["a", "b"], image_size=32)
    with pytest.raises(ValueError, match="deep-lift cannot read"):
        cfexplain.attribute(classifier, torch.rand(1, 3, 32, 32), 0, "deep-lift")


def test_grad_cam_reads_the_same_layer_after_an_estimator_was_fitted():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()
    classifier = cfexplain.wrap(network, taps=["1"], classes=["a", "b"], image_size=32)
    batches = [(torch.rand(40, 3, 32, 32), torch.tensor([0, 1] * 20))]
    image = torch.rand(1, 3, 32, 32)
    maps = [cfexplain.attribute(c, image, 0, "gradcam") for c in (classifier, fit_estimator(classifier, batches))]
    torch.testing.assert_close(*maps)


class Transformer(nn.Module):
    """A patch embedding, then tokens by heads, (n, heads, tokens, dim), and channels last, (n, h, w, c)."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, 4)
        self.heads, self.last, self.head = nn.Identity(), nn.Identity(), nn.Linear(6, 2)

    def forward(self, x):
        x = self.patches(x)
        tokens = self.heads(x.flatten(2).transpose(1, 2).unflatten(2, (2, 3)).transpose(1, 2))
        x = self.last(tokens.transpose(1, 2).flatten(2).unflatten(1, (8, 8)))
        return self.head(x.mean((1, 2)))


def test_tokens_and_channels_are_not_feature_maps():
    classifier = cfexplain.wrap(Transformer().eval(), taps=["last"], classes=["a", "b"], image_size=32)
    logits, image = Logits(classifier), torch.rand(1, 3, 32, 32)
    assert logits.layer(None, image) is classifier.module.patches
    for name in ("heads", "last"):
        with pytest.raises(ValueError, match="not answer with a map"):
            logits.layer(name, image)
