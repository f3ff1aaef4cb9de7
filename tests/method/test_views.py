"""Views look at the same picture from elsewhere; shrinking keeps the smallest change that holds in all of them."""

from dataclasses import replace

import pytest
import torch

from cfexplain import DIP, NATURAL, LineSearch, Views, describe, explain
from cfexplain.generators import Pixels
from cfexplain.images import round8
from cfexplain.method.objective import total
from cfexplain.method.presets import at_confidence
from cfexplain.method.stage import Stage
from cfexplain.method.views import ViewParameters, split
from cfexplain.search.descend import descend, minimise
from cfexplain.terms import EstimatedLoss, TargetClass
from cfexplain.types import Candidate, Prediction, Problem
from toys import Toy, pale_images

STILL = Views(count=1, rotation=0, scale=(1, 1), shift=0, flip=False, noise=0, blur=0, colour=0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_view_without_any_change_is_the_picture():
    images = pale_images(2)
    torch.testing.assert_close(STILL.draw(images, rng()), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "change",
    [
        {"rotation": 90.0},
        {"scale": (0.5, 0.6)},
        {"shift": 0.3},
        {"noise": 0.2},
        {"blur": 0.1},
        {"colour": 0.5},
    ],
    ids=str,
)
def test_each_setting_changes_the_view_alone(change):
    sharp = torch.rand(1, 3, 32, 32, generator=rng(3)) * 0.8 + 0.1
    seen = replace(STILL, count=4, **change).draw(sharp, rng(1))
    assert float((seen - sharp).abs().mean()) > 0.005
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 1


def test_a_blur_keeps_the_mean_and_lowers_the_variance():
    noise = torch.rand(4, 3, 48, 48, generator=rng())
    seen = replace(STILL, blur=0.05).draw(noise, rng(2))
    torch.testing.assert_close(seen.mean((2, 3)), noise.mean((2, 3)), atol=0.02, rtol=0)
    assert bool((seen.var((2, 3)) < noise.var((2, 3))).all())


def test_a_flip_mirrors_and_a_quarter_turn_turns():
    images = pale_images(1)
    flips = replace(STILL, flip=True, count=20).draw(images, rng())
    mirrored = [torch.allclose(f[None], images.flip(-1), atol=1e-4) for f in flips]
    plain = [torch.allclose(f[None], images, atol=1e-4) for f in flips]
    assert 4 <= sum(mirrored) <= 16
    assert sum(mirrored) + sum(plain) == 20


def test_views_are_ordered_view_by_view_and_the_same_seed_gives_the_same_views():
    images = pale_images(3)
    views = Views(count=2)
    assert torch.equal(views.draw(images, rng(5)), views.draw(images, rng(5)))
    assert not torch.equal(views.draw(images, rng(5)), views.draw(images, rng(6)))
    seen = replace(STILL, count=2).draw(images, rng())
    torch.testing.assert_close(seen[3:], images, atol=1e-5, rtol=0)


def test_consecutive_views_cover_their_parameters_more_evenly_than_random_ones():
    toy, image = Toy(), (pale_images(1) + torch.tensor([0.2, 0, 0]).view(1, 3, 1, 1)).clamp(0, 1)

    def spread(draw):
        means = [toy(Views(count=8).apply(image, draw(k))).probabilities[:, 1].mean() for k in range(40)]
        return float(torch.stack(means).std())

    def independent(k):
        each = [Views(count=1).sample(image, rng(8 * k + i)) for i in range(8)]
        return ViewParameters(*(torch.cat(parts) for parts in zip(*each, strict=True)))

    assert spread(lambda k: Views(count=8).sample(image, rng(k))) < 0.75 * spread(independent)


def test_gradients_flow_through_every_view():
    image = pale_images(1).requires_grad_()
    for view in Views(count=3).draw(image, rng()):
        (gradient,) = torch.autograd.grad(view.square().sum(), image, retain_graph=True)
        assert float(gradient.abs().sum()) > 0


def test_terms_are_the_mean_over_the_image_and_its_views():
    toy, query = Toy(), pale_images(2)
    target = torch.tensor([1, 0])
    problem = Problem(query, toy, toy(query).detach(), target)
    views = Views(count=3).draw(query, rng())
    plain, seen = split(toy(torch.cat([query, views])), 2)
    averaged = Candidate(query, problem, plain, None, 0.0, seen)
    for term in (TargetClass(), TargetClass(confidence=0.8), EstimatedLoss(), EstimatedLoss(quantile=0.5)):
        each = [term(Candidate(query, problem, plain))]
        for k in range(3):
            part = slice(2 * k, 2 * k + 2)
            one = Prediction(seen.logits[part], (), seen.loss[part])
            each.append(term(Candidate(query, problem, one)))
        torch.testing.assert_close(term(averaged), torch.stack(each).mean(0))


def test_the_loop_asks_the_classifier_once_for_image_and_views():
    toy, query = Counting(), pale_images(1)
    problem = Problem(query, toy, toy(query).detach(), torch.tensor([1]))
    toy.sizes.clear()
    stage = Stage(total((1.0, TargetClass())), 2, 1e-2, views=Views(count=3))
    module = Pixels().build(query, rng())
    steps = list(descend(module, query, problem, stage, rng=rng()))
    assert toy.sizes == [4, 4]
    assert steps[0].prediction.logits.shape == (1, 2)
    assert steps[0].views.logits.shape == (3, 2)
    with pytest.raises(ValueError, match="rng"):
        next(descend(module, query, problem, stage))


class Counting(Toy):
    """Notes the sizes of the batches that it is asked about."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        return super().forward(images)


def test_shrinking_finds_the_smallest_share_that_holds():
    toy, query = Toy(), pale_images(1)
    change = torch.zeros_like(query)
    change[:, 0] = 0.4
    problem = Problem(query, toy, toy(query).detach(), torch.tensor([1]))
    line_search = LineSearch(confidence=0.9, views=replace(STILL, count=2), rounds=8)
    alpha = line_search(problem, query, change, rng())
    assert 0 < alpha < 1
    assert line_search.probability(problem, round8(query + alpha * change), rng()) >= 0.9
    assert line_search.probability(problem, round8(query + (alpha - 2**-7) * change), rng()) < 0.9


def test_a_change_that_does_not_hold_is_left_whole():
    toy, query = Toy(), pale_images(1)
    problem = Problem(query, toy, toy(query).detach(), torch.tensor([1]))
    assert LineSearch(confidence=0.999)(problem, query, torch.full_like(query, 1e-3), rng()) == 1.0


def test_without_a_confidence_most_of_what_the_whole_change_reaches_is_kept():
    toy, query = Toy(), pale_images(1)
    change = torch.zeros_like(query)
    change[:, 0] = 0.25
    problem = Problem(query, toy, toy(query).detach(), torch.tensor([1]))
    line_search = LineSearch(kept=0.85, views=replace(STILL, count=2), rounds=10)
    whole = line_search.probability(problem, round8(query + change), rng())
    alpha = line_search(problem, query, change, rng())
    assert whole > 0.5
    assert 0 < alpha < 1
    shown = round8(query + alpha * change)
    assert line_search.probability(problem, shown, rng()) == pytest.approx(0.85 * whole, abs=0.02)
    assert line_search(problem, query, 0.1 * change, rng()) == 1.0, "no flip, nothing to keep"


def test_the_mean_of_the_last_paintings_is_handed_over():
    toy, query = Toy(), pale_images(1)
    problem = Problem(query, toy, toy(query).detach(), torch.tensor([1]))
    stage = Stage(total((1.0, TargetClass())), 8, 1e-2, averaged=0.25)
    seen = []
    solution = minimise(
        Pixels().build(query, rng()), query, problem, stage, callback=lambda step: seen.append(step.image.clone())
    )
    torch.testing.assert_close(solution.image, (seen[-1] + seen[-2]) / 2)
    assert float((seen[-1] - seen[-2]).abs().max()) > 0
    early = minimise(Pixels().build(query, rng()), query, problem, stage, deadline=0.0)
    assert early.steps == 1
    torch.testing.assert_close(early.image, seen[0])


def test_the_default_shows_the_shrunken_change_and_says_its_share():
    method = replace(NATURAL, edit=replace(NATURAL.edit, steps=30))
    short = explain(Toy(), pale_images(1), "red", method=method)
    whole = explain(Toy(), pale_images(1), "red", method=replace(method, line_search=None))
    assert short.found == whole.found == (True,)
    assert 0 < short.alpha[0] <= 1
    assert whole.alpha == (1.0,)
    torch.testing.assert_close(short.difference, short.alpha[0] * whole.difference)
    assert describe(short, Toy()).record.alpha == pytest.approx(short.alpha[0], abs=1e-6)


def test_a_requested_confidence_is_reached_and_hardly_exceeded():
    reached = []
    for wanted in (0.55, 0.7):
        result = explain(Toy(), pale_images(1), "red", method=at_confidence(NATURAL, wanted))
        views = Views(count=63).draw(result.image, rng(9))
        reached.append(float(Toy()(torch.cat([result.image, views])).probabilities[:, 1].mean()))
        assert result.found == (True,)
    assert reached[0] == pytest.approx(0.55, abs=0.12)
    assert reached[1] == pytest.approx(0.7, abs=0.12)
    assert reached[1] > reached[0]
    with pytest.raises(ValueError, match="between 0 and 1"):
        at_confidence(NATURAL, 1.0)


def test_a_method_without_views_reaches_the_requested_confidence_on_the_image_alone():
    quick = replace(DIP, anchor=replace(DIP.anchor, steps=60), edit=replace(DIP.edit, learning_rate=2e-3))
    less, more = (explain(Toy(), pale_images(1), "red", method=at_confidence(quick, p)) for p in (0.55, 0.7))
    assert less.found == more.found == (True,)
    assert 0.7 <= float(more.after.probabilities[0, 1]) < 0.9
    assert float(less.after.probabilities[0, 1]) < float(more.after.probabilities[0, 1])


def test_views_turn_pictures_that_are_not_square_without_stretching_them():
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(64.0), indexing="ij")
    disc = (((rows - 15.5) ** 2 + (columns - 31.5) ** 2) < 64).float().expand(1, 3, -1, -1)
    still = Views(count=8, scale=(1, 1), shift=0, noise=0, blur=0, colour=0)
    for view in still.draw(disc, torch.Generator().manual_seed(0)):
        assert float((view - disc[0])[..., 20:44].abs().mean()) < 0.03, "beside it lie its mirror images"
    assert Views().draw(torch.rand(1, 3, 16, 400), torch.Generator().manual_seed(0)).shape == (4, 3, 16, 400)
