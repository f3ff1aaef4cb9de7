"""What `explain` promises: the flip, the reason, the same bits, and hands off the user's model."""

import time
from dataclasses import replace

import pytest
import torch

from cfexplain import DIP, METHODS, PIXELS, TV, Status, evaluate, explain, invert, wrap
from cfexplain.generators import DeepImagePrior, Pixels
from cfexplain.generators.noise import generator_for
from cfexplain.images import round8
from cfexplain.method.objective import total
from cfexplain.method.presets import TV_INVERSION
from cfexplain.method.stage import Continuation, Stage
from cfexplain.method.stop import CloseEnough, TargetReached
from cfexplain.search.descend import descend, minimise
from cfexplain.terms import EstimatedLoss, SameFeatures, SamePixels, TargetClass
from cfexplain.types import Prediction, Problem
from contracts import check_method, small
from toys import Toy, pale_images

SMALL = DeepImagePrior(widths=(8, 12, 16), skips=(4, 4, 4))


def quicker(method, steps=60):
    """The method with a small generator, few steps and a high learning rate."""
    anchor = method.anchor and replace(method.anchor, steps=60, stop=CloseEnough(26.0))
    generator = SMALL if method.anchor else method.generator
    edit = replace(method.edit, learning_rate=1e-2 if method.anchor else 5e-2, steps=steps)
    return replace(method, generator=generator, anchor=anchor, edit=edit)


def quick(method):
    """The method with a small generator and a learning rate for the toy's 32 pixels."""
    if method.anchor is None:
        return method
    edit = replace(method.edit, learning_rate=3e-3, steps=150)
    return replace(method, generator=SMALL, anchor=replace(method.anchor, steps=120, stop=CloseEnough(28.0)), edit=edit)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_its_contract(name):
    check_method(small(METHODS[name]))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_reaches_the_target(name):
    result = explain(Toy(), pale_images(2), "red", method=small(METHODS[name]))
    assert result.status == (Status.FOUND, Status.FOUND)
    torch.testing.assert_close(result.difference, result.painted - result.anchor)
    assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in (result.anchor, result.painted, result.image))


class Drawing(Pixels):
    """Free pixels that start from the global generator's noise."""

    def build(self, query, rng):
        return super().build((query + 0.2 * torch.rand(query.shape)).clamp(0, 1), rng)


class Meddling:
    """A term that moves the classifier's weights."""

    uses_classifier = True

    def __call__(self, candidate):
        with torch.no_grad():
            candidate.problem.classifier.first.weight.add_(1e-3)
        return candidate.image.flatten(1).mean(1)


class Idle:
    """A term that asks for nothing."""

    def __call__(self, candidate):
        return 0 * candidate.image.flatten(1).mean(1)


BROKEN = {
    "draws from the global generator": replace(PIXELS, generator=Drawing()),
    "changes the classifier": replace(PIXELS, edit=replace(PIXELS.edit, objective=total((1.0, Meddling())))),
    "never reaches a target": replace(PIXELS, edit=replace(PIXELS.edit, objective=total((1.0, Idle())), steps=2)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_method_is_refused(name):
    with pytest.raises(AssertionError):
        check_method(BROKEN[name])


def test_batch_equals_single_and_same_seed_same_bits():
    images, method = pale_images(3), quick(DIP)
    together = explain(Toy(), images, "red", method=method, seed=4)
    alone = explain(Toy(), images[1:2], "red", method=method, seed=4)
    assert torch.equal(together[1].image, alone.image)
    assert torch.equal(together[1].painted, alone.painted)
    other = explain(Toy(), images[1:2], "red", method=method, seed=5)
    assert not torch.equal(other.painted, alone.painted)


def test_the_classifier_and_the_global_generator_are_left_as_they_were():
    toy = Toy()
    before = {k: v.clone() for k, v in toy.state_dict().items()}
    needs = [p.requires_grad for p in toy.parameters()]
    random = torch.random.get_rng_state()
    explain(toy, pale_images(1), "red", method=quick(DIP))
    assert all(torch.equal(v, before[k]) for k, v in toy.state_dict().items())
    assert all(p.grad is None for p in toy.parameters())
    assert [p.requires_grad for p in toy.parameters()] == needs
    assert not toy.training
    assert not any(m._forward_hooks for m in toy.modules())
    assert torch.equal(random, torch.random.get_rng_state())


def test_nothing_moves_outside_the_region():
    images = pale_images(1)
    region = torch.zeros(1, 1, 32, 32)
    region[..., 8:24, 8:24] = 1
    result = explain(Toy(), images, "red", method=quick(DIP), region=region)
    outside = (region == 0).expand_as(images)
    assert float(result.difference[outside].abs().max()) == 0
    assert torch.equal(result.image[outside], round8(images)[outside])
    assert result.found[0]


def test_a_target_that_is_already_predicted_is_a_status():
    result = explain(Toy(), pale_images(1), "pale", method=quick(DIP))
    assert result.status == (Status.ALREADY_TARGET,)
    assert result.steps == (0,)
    assert "another target" in result.status[0].advice


def test_the_budget_returns_the_best_so_far():
    anchor, edit = quick(DIP).anchor, replace(quick(DIP).edit, steps=100_000, stop=None)
    slow = replace(quick(DIP), anchor=replace(anchor, steps=100_000, stop=None), edit=edit)
    started = time.perf_counter()
    result = explain(Toy(), pale_images(1), "red", method=slow, budget=0.5)
    assert time.perf_counter() - started < 5
    assert result.status[0] in (Status.OUT_OF_BUDGET, Status.FOUND)
    assert result.seconds[0] >= 0.5


def test_a_short_budget_leaves_time_for_the_edit():
    """An anchor that never ends has at most its share."""
    anchor, edit = quick(DIP).anchor, replace(quick(DIP).edit, steps=100_000, stop=None)
    slow, stages = replace(quick(DIP), anchor=replace(anchor, steps=100_000, stop=None), edit=edit), []
    explain(Toy(), pale_images(1), "red", method=slow, budget=1.0, callback=lambda i, stage, step: stages.append(stage))
    assert stages.count("edit") > 5
    assert stages.count("anchor") > 5


def test_a_search_that_cannot_succeed_says_so():
    stuck = replace(quick(DIP), edit=Stage(total((1.0, SamePixels(to="anchor"))), 3, 1e-6, TargetReached()))
    result = explain(Toy(), pale_images(1), "red", method=stuck)
    assert result.status == (Status.NOT_FOUND,)
    wild = replace(TV, edit=replace(TV.edit, objective=total((1.0, _Undefined()))))
    assert explain(Toy(), pale_images(1), "red", method=wild).status == (Status.DIVERGED,)


class _Undefined:
    def __call__(self, candidate):
        return candidate.image.flatten(1).sum(1) * float("nan")


def test_an_edit_that_never_began_changes_nothing():
    """Not by what the anchor lacks of the query, either."""
    wild = replace(quick(DIP), edit=replace(DIP.edit, objective=total((1.0, _Undefined()))))
    result = explain(Toy(), pale_images(1), "red", method=wild)
    assert result.status == (Status.DIVERGED,)
    assert float(result.difference.abs().max()) == 0
    assert torch.equal(result.image, round8(result.query))


def test_where_the_mean_of_the_last_paintings_lags_behind_the_best_is_shown():
    single = replace(PIXELS, edit=replace(PIXELS.edit, stop=TargetReached(patience=1)))
    steps = next(n for n in range(2, 40) if explain(Toy(), pale_images(1), "red", method=_of(single, n)).found[0])
    averaged = replace(single, edit=replace(single.edit, averaged=1.0))
    assert explain(Toy(), pale_images(1), "red", method=_of(averaged, steps)).status == (Status.FOUND,)


def _of(method, steps):
    return replace(method, edit=replace(method.edit, steps=steps))


def test_further_steps_find_what_the_first_do_not():
    short = _of(PIXELS, 3)
    assert explain(Toy(), pale_images(1), "red", method=short).status == (Status.NOT_FOUND,)
    result = explain(Toy(), pale_images(1), "red", method=_insisting(short, 200))
    assert result.status == (Status.FOUND,)
    reached = [row["target_probability"] > 0.5 for row in result.history[0]]
    assert sum(reached) == 10, "and end where the target has been reached in ten of them"
    assert not any(reached[:3])
    assert reached[-1]


def test_further_steps_are_for_those_alone_that_need_them():
    """The first image is further from the target than the second; what is found in time is bit by bit what it was."""
    images, far = pale_images(1), pale_images(1) * 0.2
    steps = next(n for n in range(2, 60) if explain(Toy(), images, "red", method=_of(PIXELS, n)).found[0])
    assert not explain(Toy(), far, "red", method=_of(PIXELS, steps)).found[0]
    patient = _insisting(_of(PIXELS, steps), 200)
    for batch in (1, 2):
        result = explain(Toy(), torch.cat([far, images]), "red", method=patient, batch=batch)
        assert all(result.found)
        assert result.steps[0] > result.steps[1] == steps
    assert torch.equal(result[1].image, explain(Toy(), images, "red", method=_of(PIXELS, steps), batch=1).image)


def _insisting(method, steps):
    return replace(method, edit=replace(method.edit, continuation=Continuation(steps)))


def test_an_anchor_is_what_its_network_paints_when_the_edit_begins():
    """The first step of an edit shows the painting before anything has moved: there is no change in it."""
    one = _of(quick(DIP), 1)
    one = replace(one, anchor=replace(one.anchor, steps=20, stop=None))
    assert float(explain(Toy(), pale_images(1), "red", method=one).difference.abs().max()) < 1e-6


def test_double_precision_is_kept():
    method = quick(DIP)
    method = replace(method, anchor=replace(method.anchor, steps=10), edit=replace(method.edit, steps=3))
    result = explain(Toy().double(), pale_images(1).double(), "red", method=method, region=torch.ones(1, 1, 32, 32))
    assert result.image.dtype == result.painted.dtype == torch.float64


def test_results_of_many_images_hold_no_features():
    result = explain(Toy(), pale_images(1), "red", method=_of(TV, 2))
    assert (result.before.features, result.at_anchor.features, result.after.features) == ((), (), ())


def test_auto_is_the_second_most_likely_class():
    assert explain(Toy(), pale_images(1), method=quick(DIP)).target.tolist() == [1]


def test_bad_use_is_refused_in_a_sentence():
    toy, images = Toy(), pale_images(1)
    with pytest.raises(ValueError, match="it knows pale, red"):
        explain(toy, images, "blue")
    with pytest.raises(ValueError, match="do not normalise"):
        explain(toy, images * 255)
    with pytest.raises(ValueError, match="one for each"):
        explain(toy, images, ["red", "red"])
    with pytest.raises(ValueError, match="at least 1"):
        explain(toy, images, batch=0)
    with pytest.raises(ValueError, match="region"):
        explain(toy, images, region=torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match="training mode"):
        explain(Toy().train(), images)
    broken = Toy()
    with torch.no_grad():
        broken.first.weight.fill_(float("nan"))
        broken.forward = lambda x: Toy.forward(broken, x * float("nan"))
    with pytest.raises(ValueError, match="damaged"):
        explain(broken, images)


def test_metrics_by_hand():
    result = explain(Toy(), pale_images(1), "red", method=TV)
    anchor = torch.full((1, 3, 8, 8), 0.5)
    painted = anchor.clone()
    painted[..., :4, :] += 0.1
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :] = 1
    edited = replace(result, query=anchor, anchor=anchor, painted=painted, image=painted, mask=mask)
    row = evaluate(edited).iloc[0]
    assert row["mean_change"] == pytest.approx(0.05)
    assert row["changed_share"] == pytest.approx(0.5)
    assert row["largest_change"] == pytest.approx(0.1)
    assert row["inside_lesion"] == pytest.approx(1)
    assert row["anchor_psnr"] == pytest.approx(99)
    checker = anchor + 0.1 * ((torch.arange(8)[:, None] + torch.arange(8)) % 2)
    assert evaluate(replace(edited, painted=checker)).iloc[0]["high_frequency_share"] == pytest.approx(0.5)


def test_the_loop_is_an_iterator_that_stops_where_its_caller_stops():
    query = pale_images(1)
    rng = generator_for(query, 0)
    module, z = SMALL.build(query, rng), SMALL.draw(query, rng)
    for step in descend(module, z, Problem(query), Stage(total((1.0, SamePixels())), 50, 1e-2)):
        if step.index == 7:
            break
    assert torch.equal(module(z).detach(), step.image), "the module still paints the last step seen"


def test_minimise_keeps_the_best_and_says_how_it_ended():
    query, toy = pale_images(1), Toy()
    problem = Problem(query, toy, toy(query).detach(), torch.tensor([1]))
    stage = Stage(total((1.0, TargetClass())), 60, 5e-2, TargetReached(0.9, patience=2))
    module = TV.generator.build(query, torch.Generator())
    solution = minimise(module, torch.zeros(0), problem, stage, anchor=query, score=lambda metrics: metrics.objective)
    assert solution.ending == "stopped"
    assert torch.allclose(solution.image, query, atol=1e-2), "the first step was the best by the given measure"
    assert len(solution.history) == solution.steps


def test_inversion_matches_the_layer_that_it_is_asked_for():
    images, toy = pale_images(1), Toy()
    method = replace(TV_INVERSION, generator=SMALL, edit=Stage(total((1.0, SameFeatures())), 200, 1e-2))
    shallow, deep = (invert(toy, images, layers=[k], method=method) for k in (0, 1))
    assert float(shallow.feature_error[0, 0]) < 0.05
    assert float(deep.feature_error[0, 1]) < 0.05
    assert float(shallow.feature_error[0, 0]) < float(deep.feature_error[0, 0]), "each matches its own layer best"
    assert shallow.layers == (0,)


def test_a_classifier_whose_logits_do_not_fit_its_classes_is_refused():
    one = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    classifier = wrap(one, classes=["benign", "malignant", "other"], image_size=32)
    with pytest.raises(ValueError, match="names 3 classes and answers with logits of shape"):
        explain(classifier, pale_images(1), method=PIXELS)


def test_a_term_that_the_classifier_cannot_serve_is_refused_before_the_anchor():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    classifier, steps = wrap(model, taps=["0"], classes=["a", "b"], image_size=32), []
    with pytest.raises(ValueError, match="without-estimator"):
        explain(classifier, pale_images(1), callback=lambda *step: steps.append(step))
    assert steps == []


class Torn(Toy):
    """Five classes of which none ever has half of the probability."""

    classes = ("pale", "red", "blue", "green", "grey")

    def forward(self, images):
        seen = super().forward(images)
        bounded = seen.logits.tanh()
        rest = torch.full_like(bounded[:, :1], 0.2).expand(-1, 3)
        return Prediction(torch.cat([bounded, rest], 1), seen.features, seen.loss)


def test_a_target_that_is_seen_at_less_than_one_half_is_reached_all_the_same():
    method = quicker(replace(PIXELS, edit=replace(PIXELS.edit, stop=None)))
    insisting = replace(method, edit=replace(method.edit, continuation=Continuation(100)))
    plain, patient = (explain(Torn(), pale_images(1), "red", method=m) for m in (method, insisting))
    assert plain.status == patient.status == (Status.FOUND,)
    assert float(plain.after.probabilities[0, 1]) < 0.5
    assert plain.steps == patient.steps
    assert torch.equal(plain.image, patient.image)


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
    result = explain(Fainting(images), images, "red", method=quicker(METHODS[name], 4))
    assert result.status == (Status.DIVERGED,)
    assert torch.equal(result.image, images)


class Detached(Toy):
    def forward(self, images):
        return super().forward(images.detach())


def test_a_classifier_without_gradient_is_refused_before_any_work():
    with pytest.raises(ValueError, match="no gradient"):
        explain(Detached(), pale_images(1), "red", callback=lambda *_: pytest.fail("it has begun"))


def test_explaining_works_where_gradients_are_off():
    with torch.no_grad():
        assert explain(Toy(), pale_images(1), "red", method=quicker(PIXELS)).found == (True,)


@pytest.mark.parametrize("name", ["region", "mask"])
@pytest.mark.parametrize(
    "area", [torch.ones(1, 3, 32, 32), 255 * torch.ones(1, 1, 32, 32), -torch.ones(1, 1, 32, 32),
             torch.full((1, 1, 32, 32), torch.nan), torch.ones(5, 1, 32, 32)],
    ids=["channels", "bytes", "negative", "undefined", "many"],
)  # fmt: skip
def test_areas_are_one_channel_within_0_and_1(name, area):
    with pytest.raises(ValueError, match=name):
        explain(Toy(), pale_images(1), "red", method=quicker(PIXELS, 1), **{name: area})


class Measureless(Toy):
    usual_loss = None  # type: ignore[assignment]


def test_an_estimator_without_a_yardstick_is_refused_before_any_work():
    method = quicker(replace(DIP, edit=replace(DIP.edit, objective=total((1.0, EstimatedLoss(quantile=0.5))))))
    with pytest.raises(ValueError, match="usual_loss"):
        explain(Measureless(), pale_images(1), "red", method=method, callback=lambda *_: pytest.fail("it has begun"))


class Undecided(Toy):
    def forward(self, images):
        seen = super().forward(images)
        return replace(seen, logits=seen.logits[:, 1:].expand(-1, 2))


def test_the_second_of_equal_classes_is_not_the_first():
    result = explain(Undecided(), pale_images(2), method=quicker(PIXELS, 1))
    assert (result.target != result.source).all()


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
