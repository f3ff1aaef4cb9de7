"""What a wrapped model returns is understood, and what a search would misread is refused before any work."""

import warnings

import pytest
import torch
from torch import nn

from cfexplain import PIXELS, explain, wrap
from cfexplain.classifier.checks import check_outputs
from toys import pale_images

IMAGES = pale_images(4)
CLASSES = ("benign", "malignant")
MEAN, STD = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
NORMALISED = (IMAGES - MEAN) / STD


def backbone(outputs=2):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, outputs)]
    network = nn.Sequential(*layers)
    network[-1].weight.data *= 30
    return network.eval()


def wrapped(network, **options):
    return wrap(network.eval(), classes=CLASSES, image_size=32, **options)


class Squashed(nn.Module):
    """A model whose softmax or sigmoid is a function, not a layer."""

    def __init__(self, network, squash):
        super().__init__()
        self.network, self.squash = network, squash

    def forward(self, images):
        return self.squash(self.network(images))


@pytest.mark.parametrize("layer", [True, False], ids=["layer", "function"])
def test_probabilities_are_turned_back_into_logits(layer):
    network = backbone()
    ended = nn.Sequential(network, nn.Softmax(1)) if layer else Squashed(network, lambda x: x.softmax(1))
    seen, plain = wrapped(ended, outputs="probabilities")(IMAGES), wrapped(network)(IMAGES)
    torch.testing.assert_close(seen.probabilities, plain.probabilities)
    if layer:
        torch.testing.assert_close(seen.logits, plain.logits)


def test_behind_a_saturated_softmax_the_gradient_is_that_of_the_logits():
    network = backbone()
    network[-1].weight.data *= 1000
    ended = wrapped(nn.Sequential(network, nn.Softmax(1)), outputs="probabilities")
    assert float(ended(IMAGES).detach().probabilities.max(1).values.min()) == 1
    check_outputs(ended, IMAGES[:1])
    with pytest.raises(ValueError, match="saturated"):
        check_outputs(wrapped(Squashed(network, lambda x: x.softmax(1)), outputs="probabilities"), IMAGES[:1])


@pytest.mark.parametrize("layer", [True, False], ids=["layer", "function"])
def test_a_sigmoid_is_the_probability_of_the_second_class(layer):
    network = backbone(1)
    ended = nn.Sequential(network, nn.Sigmoid()) if layer else Squashed(network, torch.sigmoid)
    seen = wrapped(ended, outputs="sigmoid")(IMAGES)
    torch.testing.assert_close(seen.probabilities[:, 1], torch.sigmoid(network(NORMALISED))[:, 0], atol=1e-5, rtol=0)


def test_one_logit_is_that_of_the_second_of_two_classes():
    network = backbone(1)
    seen = wrapped(network)(IMAGES)
    torch.testing.assert_close(seen.probabilities[:, 1], torch.sigmoid(network(NORMALISED))[:, 0])


def test_probabilities_that_nobody_has_announced_are_refused_with_the_way_out():
    classifier = wrapped(nn.Sequential(backbone(), nn.Softmax(1)))
    with pytest.raises(ValueError, match='outputs="probabilities"'):
        explain(classifier, IMAGES[:1], method=PIXELS)


def test_outputs_between_0_and_1_are_remarked_on_and_log_probabilities_are_logits():
    with pytest.warns(UserWarning, match='outputs="sigmoid"'):
        check_outputs(wrapped(Squashed(backbone(), lambda x: torch.sigmoid(x / 100))), IMAGES[:1])
    log = wrapped(Squashed(backbone(), lambda x: x.log_softmax(1)), outputs="log-probabilities")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_outputs(log, IMAGES[:1])
    torch.testing.assert_close(log(IMAGES).probabilities, wrapped(backbone())(IMAGES).probabilities)


class Augmented(nn.Module):
    """Draws random numbers in every call, as a published wrapper of skin lesion models does."""

    def __init__(self):
        super().__init__()
        self.network = backbone()

    def forward(self, images):
        return self.network(images + 0.3 * torch.randn_like(images))


class Frozen(nn.Module):
    """A head on features that are computed without gradient."""

    def __init__(self):
        super().__init__()
        self.network = backbone()

    def forward(self, images):
        with torch.no_grad():
            features = self.network[:-1](images)
        return self.network[-1](features)


@pytest.mark.parametrize(
    ("network", "reason"), [(Augmented, "differently each time"), (Frozen, "part of its forward runs without gradient")]
)
def test_models_that_a_search_would_misread_are_refused(network, reason):
    with pytest.raises(ValueError, match=reason):
        explain(wrapped(network()), IMAGES[:1], method=PIXELS, callback=lambda *_: pytest.fail("it has begun"))


def test_the_normalisation_is_that_of_timm_and_one_of_0_to_255_is_refused():
    import timm

    model = timm.create_model("mixer_s32_224", num_classes=2).eval()
    classifier = wrap(model, classes=CLASSES)
    assert (classifier.mean, classifier.std, classifier.image_size) == ((0.5,) * 3, (0.5,) * 3, 224)
    assert wrap(model, classes=CLASSES, mean=0, std=1).std == (1.0,) * 3
    assert wrapped(backbone()).mean == (0.485, 0.456, 0.406)
    for options in ({"mean": (123.7, 116.3, 103.5)}, {"std": (58.4, 57.1, 57.4)}, {"std": 0}):
        with pytest.raises(ValueError, match=r"divide those of 0\.\.255 by 255"):
            wrapped(backbone(), **options)


def test_blue_comes_first_where_the_model_takes_it_so():
    network = backbone()
    seen = wrapped(network, mean=0, std=1, bgr=True)(IMAGES)
    torch.testing.assert_close(seen.logits, network(IMAGES.flip(1)))


def test_a_mapping_from_index_to_name_gives_the_names():
    network = backbone(3)
    assert wrap(network, classes={0: "nv", 1: "mel", 2: "bkl"}).classes == ("nv", "mel", "bkl")
    assert wrap(network, classes={"10": "c", "2": "b", "0": "a"}).classes == ("a", "b", "c")
