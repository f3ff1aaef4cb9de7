"""The counterfactual as a captum attribution: captum's metrics, noise tunnels and plots accept it."""

import time
import warnings
from dataclasses import replace

import pytest
import torch

import cfexplain
from cfexplain import CounterfactualAttribution
from cfexplain.attribution import Logits, counterfactual
from cfexplain.method.presets import DIP, PIXELS
from cfexplain.method.stop import CloseEnough
from toys import Toy, pale_images

RED = 1
STOPPED = CloseEnough(psnr=0.0, patience=1, least=12)
QUICK = replace(DIP, anchor=replace(DIP.anchor, stop=STOPPED), edit=replace(DIP.edit, steps=8))


@pytest.fixture(scope="module")
def toy():
    return Toy()


@pytest.fixture(scope="module")
def ours(toy):
    return CounterfactualAttribution(toy, method=PIXELS)


@pytest.fixture
def fitted(monkeypatch):
    """One entry per anchor that is fitted."""
    calls, original = [], counterfactual.fit_anchors
    monkeypatch.setattr(counterfactual, "fit_anchors", lambda *a, **k: calls.append(1) or original(*a, **k))
    return calls


def test_the_map_has_the_shape_of_the_inputs_and_sums_to_the_change_of_the_logit(toy, ours):
    images = pale_images(3)
    maps, shown = ours.attribute(images, target=RED, return_counterfactuals=True)
    assert maps.shape == shown.shape == images.shape
    assert (toy(shown).logits.argmax(1) == RED).all()
    found = cfexplain.explain(toy, images, RED, method=PIXELS)
    assert torch.equal(shown, found.image), "the same counterfactuals as explain's"
    moved = toy(found.painted).logits[:, RED] - toy(found.anchor).logits[:, RED]
    assert torch.allclose(maps.sum(dim=(1, 2, 3)), moved, rtol=1e-3)
    assert (moved > 1).all()


def test_the_sum_holds_on_a_curved_logit():
    from cfexplain_classifiers import load

    classifier, image = load("synthetic"), pale_images(1, size=64)
    method = CounterfactualAttribution(classifier, method=PIXELS)
    target = int(1 - classifier(image).logits.argmax())
    found = cfexplain.explain(classifier, image, target, method=PIXELS)
    moved = (classifier(found.painted).logits - classifier(found.anchor).logits)[0, target]
    total = method.attribute(image, target=target).sum()
    assert float(total) == pytest.approx(float(moved), abs=0.05 * abs(float(moved)))


def test_tuples_batches_and_chunks(ours):
    images = pale_images(3)
    maps = ours.attribute(images, target=RED)
    (within,) = ours.attribute((images,), target=torch.tensor([RED] * 3))
    assert torch.equal(within, maps)
    assert torch.equal(ours.attribute(images.flip(0), target=RED).flip(0), maps), "images do not see their neighbours"
    assert torch.allclose(ours.attribute(images, target=[RED] * 3, internal_batch_size=3), maps, atol=1e-6)
    assert torch.equal(ours.attribute(images), maps), "the second most likely class by default"
    assert torch.equal(ours.attribute(images, target="red"), maps)
    assert torch.equal(ours.attribute(images, target=torch.tensor([RED])), maps), "captum repeats images, not this"


def test_captum_metrics_run_on_it(toy, ours):
    from captum.metrics import infidelity, sensitivity_max

    images = pale_images(2)
    steps = cfexplain.explain(toy, images, RED, method=PIXELS).difference

    def to_the_counterfactual(inputs):
        """captum's form for maps that hold the difference as a factor: which inputs are perturbed, and the result."""
        return -torch.ones_like(inputs), inputs + steps

    maps = ours.attribute(images, target=RED)
    exact = infidelity(Logits(toy), to_the_counterfactual, images, maps, target=RED, n_perturb_samples=1)
    other = infidelity(
        Logits(toy), to_the_counterfactual, images, torch.zeros_like(maps), target=RED, n_perturb_samples=1
    )
    assert (exact < 1e-3 * other).all(), "the map says by how much the logit moves; a map of zeros does not"
    unstable = sensitivity_max(ours.attribute, images, perturb_radius=0.05, n_perturb_samples=3, target=RED)
    assert unstable.shape == (2,)
    assert unstable.isfinite().all()
    assert (unstable > 0).all()


def test_noise_tunnel_and_visualization(ours):
    from captum.attr import NoiseTunnel, visualization
    from matplotlib.figure import Figure

    images = pale_images(2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        smooth = NoiseTunnel(ours).attribute(images, nt_samples=3, stdevs=0.05, target=RED)
    assert smooth.shape == images.shape
    middle, border = smooth[..., 8:-8, 8:-8].abs().mean(), smooth[..., :8, :].abs().mean()
    assert float(border) < 0.05 * float(middle)
    picture = smooth[0].permute(1, 2, 0).numpy()
    figure = Figure()
    visualization.visualize_image_attr(
        picture, images[0].permute(1, 2, 0).numpy(), "heat_map", sign="all",
        plt_fig_axis=(figure, figure.subplots()), use_pyplot=False,
    )  # fmt: skip
    assert figure.axes[0].images


def test_perturbed_inputs_are_clamped_and_gradients_found_without_grad(ours):
    images = pale_images(1)
    images[0, :, 0, 0] = 1.0
    outside = images.clone()
    outside[0, :, 0, 0] = 3.0
    with torch.no_grad():
        maps = ours.attribute(outside, target=RED)
    assert float(maps.abs().sum()) > 0
    assert torch.equal(maps, ours.attribute(images, target=RED))


def test_ten_perturbed_calls_do_not_cost_ten_anchors(toy, fitted):
    method = CounterfactualAttribution(toy, method=QUICK, seed=3)
    images, rng = pale_images(2), torch.Generator().manual_seed(0)
    maps = _quiet(method, images)
    assert len(fitted) == 2, "one anchor per image"
    for _ in range(3):
        near = images + 0.02 * (torch.rand(images.shape, generator=rng) - 0.5)
        assert not torch.equal(_quiet(method, near), maps)
    assert len(fitted) == 2
    assert torch.equal(_quiet(method, images), maps), "edits do not change the cached anchor"
    _quiet(method, images * 0.5)
    assert len(fitted) == 4, "other images have anchors of their own"


def test_the_first_image_of_an_anchor_gets_the_result_of_explain(toy):
    image = pale_images(1)
    direct = cfexplain.explain(toy, image, RED, method=QUICK, seed=3)
    ours = CounterfactualAttribution(toy, method=QUICK, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            maps, shown = ours.attribute(image, target=RED, return_counterfactuals=True)
            assert torch.equal(shown, direct.image)
    moved = toy(direct.painted).logits[0, RED] - toy(direct.anchor).logits[0, RED]
    assert float(direct.difference.abs().mean()) > 1e-3
    assert float(maps.sum()) == pytest.approx(float(moved), rel=1e-2)


def test_a_budget_leaves_the_edit_some_time(toy, monkeypatch):
    deadlines = []
    monkeypatch.setattr(counterfactual, "fit_anchors", lambda tasks, deadline: deadlines.append(deadline) or 1 / 0)
    method = replace(PIXELS, anchor=replace(PIXELS.edit, steps=3))
    started = time.perf_counter()
    with pytest.raises(ZeroDivisionError):
        CounterfactualAttribution(toy, method=method, budget=100.0).attribute(pale_images(1), target=RED)
    assert 30 < deadlines[0] - started < 50


def test_without_a_counterfactual_the_map_is_zero_and_says_so(toy, ours):
    images = pale_images(1)
    with pytest.warns(UserWarning, match="1 of 1 images have no counterfactual. The query is already"):
        assert not ours.attribute(images, target=0).any()


def test_bad_input_is_refused_in_a_sentence(toy, ours):
    images = pale_images(2)
    for inputs, target, sentence in (
        ((images, images), RED, "one tensor of images, got 2"),
        (images[:, :1], RED, r"shape \(n, 3, h, w\)"),
        (images * 255, RED, "divide values"),
        (images * torch.nan, RED, "undefined"),
        (images * torch.inf, RED, "divide values"),
        (images, [RED] * 3, "got 3 for 2"),
        (images, 7, "no class 7"),
        (images, "blue", "no class 'blue'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            ours.attribute(inputs, target=target)
    with pytest.raises(ValueError, match="internal_batch_size must be at least 1"):
        ours.attribute(images, target=RED, internal_batch_size=0)
    with pytest.raises(ValueError, match="training mode"):
        CounterfactualAttribution(Toy().train())
    with pytest.raises(ValueError, match="steps must be at least 1"):
        CounterfactualAttribution(toy, steps=0)


def _quiet(method, images):
    """The maps; so few steps need not reach the target."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method.attribute(images, target=RED)
