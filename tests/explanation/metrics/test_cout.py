"""COUT against curves worked out by hand."""

import itertools
import math

import pytest
import torch

from cfexplain.explanation.metrics.cout import cout
from cfexplain.types import Prediction
from edits import edit_of, follows_the_order, random_edit, reordered
from toys import Toy


class Weighing:
    """Probability of class 1 is the weighted sum of the pixels of the first channel."""

    classes = ("a", "b")
    image_size = 2

    def __init__(self, *weights):
        self.weights = torch.tensor(weights)

    def __call__(self, images):
        share = (images[:, 0].flatten(1) * self.weights).sum(1).clamp(1e-6, 1 - 1e-6)
        return Prediction(torch.stack([1 - share, share], dim=1).log())


def two_pixels(*changes):
    made = torch.zeros(1, 3, 1, 2)
    made[0, 0, 0] = torch.tensor(changes)
    return edit_of(made, query=torch.zeros(1, 3, 1, 2))


def test_two_pixels_by_hand():
    # The second pixel changes more, so it goes first: p_target is 0, 0.9, 1 and p_source its complement.
    # AUC(target) = (0 + 0.9) / 4 + (0.9 + 1) / 4 = 0.7, AUC(source) = 0.3.
    classifier = Weighing(0.2, 0.9)
    assert float(cout(two_pixels(0.5, 1.0), classifier, steps=2)) == pytest.approx(0.4, abs=1e-4)


def test_pixels_that_do_not_matter_first_cost():
    # Now the pixel that carries nothing goes first: p_target is 0, 0, 1.
    classifier = Weighing(2.0, 0.0)
    assert float(cout(two_pixels(0.5, 1.0), classifier, steps=2)) == pytest.approx(0.25 - 0.75, abs=1e-4)


def test_steps_that_do_not_divide_the_pixels_still_end_at_the_whole_image():
    assert float(cout(two_pixels(0.5, 1.0), Weighing(0.2, 0.9), steps=1)) == pytest.approx(0.0, abs=1e-4)
    # k * 2 // 4 pixels: 0, 0, 1, 1, 2
    lead = [-1, -1, 0.8, 0.8, 1]
    by_hand = sum((a + b) / 8 for a, b in itertools.pairwise(lead))
    assert float(cout(two_pixels(0.5, 1.0), Weighing(0.2, 0.9), steps=4)) == pytest.approx(by_hand, abs=1e-4)


def test_no_change_is_the_lead_of_the_query():
    value = float(cout(edit_of(torch.zeros(1, 3, 32, 32)), Toy(), steps=3))
    assert value == pytest.approx(math.tanh(-2.0), abs=1e-4)  # redness -4 on grey: sigmoid(-4) - sigmoid(4)


def test_another_order_and_no_trace_in_the_classifier():
    classifier, edit = Toy(), random_edit()
    assert follows_the_order(lambda e: cout(e, classifier, steps=5), edit)
    values = cout(reordered(edit, [0, 1]), classifier)
    assert not values.requires_grad
    assert bool((values.abs() <= 1).all())
    with pytest.raises(ValueError, match="steps"):
        cout(edit, classifier, steps=0)
    with pytest.raises(ValueError, match="training mode"):
        cout(edit, classifier.train())
