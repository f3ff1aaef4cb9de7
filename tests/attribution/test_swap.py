"""Swapped pixels: curves, COUT, sufficiency and necessity against values worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import cfexplain
from cfexplain.attribution.measures import magnitude, pixel_rank, swap
from cfexplain.method.presets import PIXELS
from cfexplain.types import Prediction
from edits import edit_of
from toys import Toy, pale_images

RED = 1


class Weighing:
    """The probability of class 1 is the weighted sum of the pixels of the first channel."""

    classes = ("a", "b")
    image_size = 2

    def __init__(self, *weights):
        self.weights = torch.tensor(weights)

    def __call__(self, images):
        share = (images[:, 0].flatten(1) * self.weights).sum(1).clamp(1e-6, 1 - 1e-6)
        return Prediction(torch.stack([1 - share, share], dim=1).log())


def of_change(change, **options):
    edit = edit_of(change, **options)
    edit.source = edit.before.logits.argmax(1)
    return edit


def cout_of_two_pixels(classifier, steps, changes=(0.5, 1.0)):
    """COUT in the order of the change, from a black query with two pixels."""
    change = torch.zeros(1, 3, 1, 2)
    change[0, 0, 0] = torch.tensor(changes)
    edit = of_change(change, query=torch.zeros(1, 3, 1, 2))
    return swap(classifier, edit, magnitude(change[0]), steps=steps).measures["cout"]


@pytest.fixture(scope="module")
def toy():
    return Toy()


@pytest.fixture(scope="module")
def edit(toy):
    return cfexplain.explain(toy, pale_images(1), RED, method=PIXELS)


def test_cout_of_two_pixels_by_hand():
    # The second pixel changes more, so it goes first: p_target is 0, 0.9, 1 and p_source its complement.
    # AUC(target) = (0 + 0.9) / 4 + (0.9 + 1) / 4 = 0.7, AUC(source) = 0.3.
    assert cout_of_two_pixels(Weighing(0.2, 0.9), 2) == pytest.approx(0.4, abs=1e-4)
    # Now the pixel without influence goes first: p_target is 0, 0, 1.
    assert cout_of_two_pixels(Weighing(2.0, 0.0), 2) == pytest.approx(0.25 - 0.75, abs=1e-4)


def test_steps_that_do_not_divide_the_pixels_still_end_at_the_whole_image():
    assert cout_of_two_pixels(Weighing(0.2, 0.9), 1) == pytest.approx(0.0, abs=1e-4)
    # k * 2 // 4 pixels: 0, 0, 1, 1, 2, so p_target - p_source is -1, -1, 0.8, 0.8, 1
    assert cout_of_two_pixels(Weighing(0.2, 0.9), 4) == pytest.approx((-2 - 0.2 + 1.6 + 1.8) / 8, abs=1e-4)


def test_cout_without_a_change_is_that_of_the_query():
    found = swap(Toy(), of_change(torch.zeros(1, 3, 32, 32)), torch.zeros(32, 32), steps=3).measures["cout"]
    assert found == pytest.approx(math.tanh(-2.0), abs=1e-4)  # redness -4 on grey: sigmoid(-4) - sigmoid(4)


def test_both_curves_begin_and_end_at_query_and_counterfactual(toy, edit):
    noise = torch.rand(32, 32, generator=torch.Generator().manual_seed(5))
    found = swap(toy, edit, noise, steps=10)
    classes = [int(edit.source), int(edit.target)]
    ends = torch.stack([toy(image).probabilities[0, classes] for image in (edit.query, edit.image)])
    torch.testing.assert_close(found.deletion[[0, -1]], ends, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.insertion[[-1, 0]], ends, atol=1e-5, rtol=0)
    assert found.shares.tolist() == pytest.approx(np.arange(11) / 10)
    assert len(found.deletion) == len(found.insertion) == 11


def test_sufficiency_and_necessity_by_hand(toy, edit):
    """The middle must be redder by a tenth: if half of the middle is the map's top, that half is enough."""
    query = torch.full((1, 3, 32, 32), 0.5)
    image = query.clone()
    image[:, 0, 8:-8, 8:-8] += 0.15
    redder = replace(edit, query=query, before=toy(query), image=image, painted=image, after=toy(image), anchor=query)
    heatmap = torch.zeros(32, 32)
    heatmap[8:-8, 8:-8] = 1
    measures = swap(toy, redder, heatmap, steps=64).measures
    assert measures["sufficiency"] == pytest.approx(172 / 1024), "171 of 256 pixels, searched in steps of two"
    assert measures["necessity"] == pytest.approx(86 / 1024), "a third of them undoes the change"
    unsuited = swap(toy, redder, 1 - heatmap, steps=64).measures
    assert unsuited["sufficiency"] > 0.9
    assert unsuited["necessity"] > 0.8


def test_a_counterfactual_that_does_not_flip_has_no_sufficient_share(toy, edit):
    measures = swap(toy, replace(edit, image=edit.query), torch.ones(32, 32), steps=4).measures
    assert math.isnan(measures["sufficiency"])
    assert measures["necessity"] == 0, "nothing has to be undone"


def test_memory_is_bounded(edit):
    sizes = []

    class Counting(Toy):
        def forward(self, images):
            sizes.append(len(images))
            return super().forward(images)

    swap(Counting(), edit, torch.rand(32, 32), steps=40)
    assert max(sizes) == 16


def test_pixels_are_ranked_by_magnitude_and_equal_ones_row_by_row():
    assert pixel_rank(torch.tensor([[1.0, -3.0], [2.0, 0.0]])).tolist() == [[2, 0], [1, 3]]
    assert pixel_rank(torch.ones(2, 2)).tolist() == [[0, 1], [2, 3]]


def test_bad_input_is_refused(toy, edit):
    with pytest.raises(ValueError, match="in at least 1 step, got 1 in 0"):
        swap(toy, edit, torch.ones(32, 32), steps=0)
    with pytest.raises(ValueError, match="one counterfactual"):
        swap(toy, cfexplain.explain(toy, pale_images(2), RED, method=PIXELS), torch.ones(32, 32))
