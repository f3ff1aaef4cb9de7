"""On a GPU: what is recorded and replayed is what is computed step by step, together as alone."""

import pytest
import torch

from cfexplain import NATURAL, Views, explain, wrap
from cfexplain.engine import device
from cfexplain.engine.cuda_graph import CudaGraph, GraphedClassifier
from cfexplain.engine.device import RECORDING, ViewStream
from cfexplain.generators import DeepImagePrior
from toys import Toy, pale_images

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def test_a_recorded_network_generates_and_learns_as_it_does_step_by_step():
    query = torch.rand(1, 3, 64, 64, device="cuda")
    recipe = DeepImagePrior(widths=(8, 12, 16), skips=(4, 4, 4))
    module, z = recipe.build(query, torch.Generator()), recipe.draw(query, torch.Generator())
    replayed, weights = CudaGraph(module), list(module.parameters())
    for _ in range(4):
        theirs = torch.autograd.grad(module(z).square().sum(), weights)
        ours = torch.autograd.grad(replayed(z).square().sum(), weights)
        torch.testing.assert_close(replayed(z), module(z), rtol=0, atol=1e-3)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2 * float(b.abs().max()))
        with torch.no_grad():
            for weight, gradient in zip(weights, theirs, strict=True):
                weight -= 1e-4 * gradient
    assert replayed.calls[tuple(z.shape)] not in (None, module)


class Waiting(Toy):
    """A classifier that cannot be recorded: it waits for a number."""

    def forward(self, images):
        return super().forward(images) if float(images.mean()) < 2 else super().forward(images + 1)


@pytest.mark.parametrize("kind", [Toy, Waiting])
def test_a_classifier_predicts_the_same_whether_or_not_it_can_be_recorded(kind):
    classifier = kind().cuda().requires_grad_(False)
    replayed = GraphedClassifier(classifier)
    assert replayed.classes == classifier.classes
    for seed in range(4):
        images = pale_images(3, seed=seed).cuda().requires_grad_()
        ours, theirs = replayed(images), classifier(images)
        torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(ours.loss, theirs.loss, rtol=1e-3, atol=1e-3)
        (a,) = torch.autograd.grad(ours.logits[:, 1].sum(), images)
        (b,) = torch.autograd.grad(theirs.logits[:, 1].sum(), images)
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    recorded = replayed.replayed.calls[tuple(images.shape)]
    assert recorded is not None
    assert (recorded is replayed.parts) == (kind is Waiting)


def test_a_classifier_that_waits_leaves_torch_as_it_was():
    classifier = GraphedClassifier(Waiting().cuda().requires_grad_(False))
    for _ in range(3):
        classifier(pale_images(2).cuda().requires_grad_())
    assert torch.cuda.get_sync_debug_mode() == 0
    torch.randn(2, device="cuda")
    block = torch.empty(2**26, device="cuda")
    del block
    before = torch.cuda.memory_reserved()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < before


def test_a_wrapped_classifier_is_recorded():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    classifier = GraphedClassifier(wrap(network.cuda().eval(), taps=["0"], classes=list("abcd"), image_size=16))
    for _ in range(3):
        classifier(torch.rand(2, 3, 16, 16, device="cuda", requires_grad=True))
    assert classifier.replayed.calls[2, 3, 16, 16] not in (None, classifier.parts)


def test_views_of_an_image_do_not_depend_on_its_neighbours():
    images = pale_images(3).cuda()

    def rngs():
        return [torch.Generator().manual_seed(k) for k in range(3)]

    together, alone = ViewStream(Views(count=2), rngs()), ViewStream(Views(count=2), rngs()[1:2])
    for step in range(2 * ViewStream.AHEAD + 1):
        seen = together.draw(images).unflatten(0, (2, -1))
        torch.testing.assert_close(seen[:, -2 if step < 5 else 0], alone.draw(images[[1]] if step < 5 else images[:1]))
        if step == 4:
            together.keep([1])
            images = images[[1]]


@pytest.mark.parametrize("recording", [0.0, RECORDING], ids=["all that are done leave", "some stay"])
@pytest.mark.parametrize("kind", [Toy, Waiting])
def test_together_ends_as_alone(kind, recording, monkeypatch):
    monkeypatch.setattr(device, "RECORDING", recording)
    images, classifier = pale_images(5).cuda(), kind().cuda()
    one = explain(classifier, images, "red", method=NATURAL, batch=1)
    many = explain(classifier, images, "red", method=NATURAL, batch=5)
    assert one.status == many.status
    ours, theirs = (float(found.difference.abs().mean()) for found in (many, one))
    assert ours == pytest.approx(theirs, rel=0.25)
