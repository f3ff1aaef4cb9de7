"""Legal but unusual: many classes, damaged classifiers, other networks in one store, pictures that are not square."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from cfexplain import DIP, METHODS, PIXELS, TV, Status, Views, explain, explain_diverse, wrap
from cfexplain.explanation.path import path_of
from cfexplain.generators import DeepImagePrior, Langevin, Pixels
from cfexplain.images import round8
from cfexplain.method.objective import geometric, total
from cfexplain.method.stage import Continuation, Stage
from cfexplain.method.stop import CloseEnough, Step, TargetReached
from cfexplain.terms import EstimatedLoss, SameFeatures, SamePixels, SparseChange
from cfexplain.types import Candidate, Prediction, Problem
from toys import Toy, pale_images

SMALL = DeepImagePrior(widths=(8, 12, 16), skips=(4, 4, 4))


def quick(method, steps=60):
    """The method with a small generator, for the toy's 32 pixels."""
    anchor = method.anchor and replace(method.anchor, steps=60, stop=CloseEnough(26.0))
    generator = SMALL if method.anchor else method.generator
    edit = replace(method.edit, learning_rate=1e-2 if method.anchor else 5e-2, steps=steps)
    return replace(method, generator=generator, anchor=anchor, edit=edit)


class Torn(Toy):
    """Five classes of which none ever has half of the probability."""

    classes = ("pale", "red", "blue", "green", "grey")

    def forward(self, images):
        seen = super().forward(images)
        bounded = seen.logits.tanh()
        rest = torch.full_like(bounded[:, :1], 0.2).expand(-1, 3)
        return Prediction(torch.cat([bounded, rest], 1), seen.features, seen.loss)


def test_a_target_that_is_seen_at_less_than_one_half_is_reached_all_the_same():
    method = quick(replace(PIXELS, edit=replace(PIXELS.edit, stop=None)))
    insisting = replace(method, edit=replace(method.edit, continuation=Continuation(100)))
    plain, patient = (explain(Torn(), pale_images(1), "red", method=m) for m in (method, insisting))
    assert plain.status == patient.status == (Status.FOUND,)
    assert float(plain.after.probabilities[0, 1]) < 0.5
    assert plain.steps == patient.steps
    assert torch.equal(plain.image, patient.image)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_rising_weight_grows_by_its_factor_however_few_the_first_steps(steps):
    stage = Stage(total((geometric(2.0, factor=16.0), SamePixels())), steps, 1e-3, continuation=Continuation(40))
    weights = [stage.objective.parts[0].at(stage.progress(k)) for k in range(stage.most)]
    assert weights[:steps] == [2.0] * steps
    assert weights == sorted(weights)
    assert weights[-1] == pytest.approx(32.0)


def test_a_factor_that_shrinks_is_refused():
    with pytest.raises(ValueError, match="1 or more"):
        geometric(1.0, factor=-4.0)


def test_a_small_confidence_still_asks_for_the_flip():
    """Of two classes one at 0.4 is beyond a confidence of 0.3, but not what the classifier says."""
    query = pale_images(1)
    problem, watch = Problem(query, target=torch.tensor([1])), TargetReached(0.3, patience=1)
    for probability, stops in ((0.4, False), (0.6, True)):
        prediction = Prediction(torch.tensor([[1 - probability, probability]]).log())
        step = Step(0, query, prediction, torch.zeros(1))
        assert watch.start(problem)(step) is stops
        assert (watch.better(step, problem) > 1) is stops


def test_a_change_that_is_rounding_pulls_nowhere_before_anything_has_moved():
    query = pale_images(1).double()
    image = (query + 1e-9 * torch.randn(query.shape).double()).requires_grad_()
    value = SparseChange(to="query")(Candidate(image, Problem(query)))
    assert float(value.detach()) == 0
    assert not bool(torch.autograd.grad(value.sum(), image)[0].any())


class Fainting(Toy):
    """Undefined on anything but the picture that it has seen first."""

    def __init__(self, known):
        super().__init__()
        self.known = round8(known)

    def forward(self, images):
        seen = super().forward(images)
        new = torch.tensor([not torch.equal(round8(image), self.known[0]) for image in images.detach()])
        return replace(seen, logits=seen.logits.masked_fill(new[:, None], torch.nan))


@pytest.mark.parametrize("name", ["natural", "dip", "pixels"])
def test_a_classifier_that_breaks_down_is_a_status(name):
    images = round8(pale_images(1))
    result = explain(Fainting(images), images, "red", method=quick(METHODS[name], 4))
    assert result.status == (Status.DIVERGED,)
    assert torch.equal(result.image, images)


class Detached(Toy):
    def forward(self, images):
        return super().forward(images.detach())


def test_a_classifier_without_gradient_is_refused_before_any_work():
    with pytest.raises(ValueError, match="no gradient"):
        explain(Detached(), pale_images(1), "red", watch=lambda *_: pytest.fail("it has begun"))


def test_explaining_works_where_gradients_are_off():
    with torch.no_grad():
        assert explain(Toy(), pale_images(1), "red", method=quick(PIXELS)).found == (True,)


def test_anchors_of_other_taps_and_normalisations_are_others(tmp_path):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()
    settings = {"classes": ["a", "b"], "image_size": 32}
    for taps, mean in (("0", 0.5), ("2", 0.5), ("0", 0.4), ("0", 0.5)):
        classifier = wrap(network, taps=[taps], mean=(mean,) * 3, **settings)
        explain(classifier, pale_images(1), method=quick(DIP, 2), anchors=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_tap_is_not_overwritten_by_what_comes_behind_it():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    classifier = wrap(network, taps=["0"], classes=list("abcd"), image_size=32, mean=(0, 0, 0), std=(1, 1, 1))
    images = pale_images(1)
    before = network[0](images)
    assert float(before.detach().min()) < 0, "the layer behind it would show"
    torch.testing.assert_close(classifier(images).features[0], before)


def test_a_tap_of_several_tensors_is_refused():
    network = nn.Sequential(nn.Flatten(2), nn.Flatten(0, 1), nn.LSTM(1024, 2)).eval()
    classifier = wrap(network, taps=["2"], classes=["a", "b"], image_size=32)
    with pytest.raises(TypeError, match="one tensor"):
        classifier(pale_images(1))


def test_views_turn_pictures_that_are_not_square_without_stretching_them():
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(64.0), indexing="ij")
    disc = (((rows - 15.5) ** 2 + (columns - 31.5) ** 2) < 64).float().expand(1, 3, -1, -1)
    still = Views(count=8, scale=(1, 1), shift=0, noise=0, blur=0, colour=0)
    for view in still.draw(disc, torch.Generator().manual_seed(0)):
        assert float((view - disc[0])[..., 20:44].abs().mean()) < 0.03, "beside it lie its mirror images"
    assert Views().draw(torch.rand(1, 3, 16, 400), torch.Generator().manual_seed(0)).shape == (2, 3, 16, 400)


@pytest.mark.parametrize("name", ["region", "mask"])
@pytest.mark.parametrize(
    "area", [torch.ones(1, 3, 32, 32), 255 * torch.ones(1, 1, 32, 32), -torch.ones(1, 1, 32, 32),
             torch.full((1, 1, 32, 32), torch.nan), torch.ones(5, 1, 32, 32)],
    ids=["channels", "bytes", "negative", "undefined", "many"],
)  # fmt: skip
def test_areas_are_one_channel_within_0_and_1(name, area):
    for ask in (explain, explain_diverse):
        with pytest.raises(ValueError, match=name):
            ask(Toy(), pale_images(1), "red", method=quick(PIXELS, 1), **{name: area})


def test_free_pixels_begin_at_black_and_white():
    query = torch.tensor([0.0, 1 / 255, 254 / 255, 1.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    painted = Pixels().build(query, torch.Generator())(torch.zeros(0))
    assert torch.equal(round8(painted), round8(query))


def test_a_path_leads_through_its_counterfactual():
    result = explain(Toy(), pale_images(1), "red", method=quick(PIXELS))
    path = path_of(result, Toy())
    place = int((path.alphas - 1).abs().argmin())
    assert float(path.alphas[place]) == 1
    assert torch.equal(path.frames[place : place + 1], result.image)
    assert path.crossing is not None
    assert path.crossing <= 1


class Measureless(Toy):
    usual_loss = None  # type: ignore[assignment]


def test_an_estimator_without_a_yardstick_is_refused_before_any_work():
    method = quick(replace(DIP, edit=replace(DIP.edit, objective=total((1.0, EstimatedLoss(quantile=0.5))))))
    with pytest.raises(ValueError, match="usual_loss"):
        explain(Measureless(), pale_images(1), "red", method=method, watch=lambda *_: pytest.fail("it has begun"))


class Undecided(Toy):
    def forward(self, images):
        seen = super().forward(images)
        return replace(seen, logits=seen.logits * 0)


def test_the_second_of_equal_classes_is_not_the_first():
    result = explain(Undecided(), pale_images(2), method=quick(PIXELS, 1))
    assert (result.target != result.source).all()


def test_an_unsteady_hand_paints_a_batch_one_by_one():
    method = replace(quick(DIP, 3), generator=Langevin(SMALL, 0.01))
    both = explain(Toy(), pale_images(2), "red", method=method, batch=2)
    one = explain(Toy(), pale_images(2)[1:], "red", method=method)
    assert torch.equal(both[1].painted, one.painted)


class Uneven:
    """Three classes; where the target begins to win it is less probable than when it began to rise."""

    classes, image_size = ("nv", "mel", "bkl"), 32

    def __call__(self, x):
        red = (x[:, 0].mean((1, 2)) - x[:, 1:].mean((1, 2, 3))) * 20
        return Prediction(torch.stack([0.51 - red, 0 * red, -0.405 + 0.22 * red], 1), ())


@pytest.mark.parametrize("method", [TV, PIXELS], ids=lambda m: m.name)
def test_a_step_that_flips_is_kept_before_one_that_is_only_likelier(method):
    objective = method.edit.objective.without(SameFeatures)
    method = replace(method, edit=replace(method.edit, objective=objective, steps=60))
    found = explain(Uneven(), torch.full((1, 3, 32, 32), 0.5), "mel", method=method)
    assert found.status[0] is Status.FOUND
