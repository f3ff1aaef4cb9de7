"""What several searches of one image agree on, and how they run."""

import threading
import time
from dataclasses import replace

import pytest
import torch

from cfexplain import METHODS, NATURAL, evaluate, explain
from cfexplain.engine.device import beside_each_other, one_each
from cfexplain.search.compose import consensus, spread
from cfexplain.search.descend import Solution
from cfexplain.types import Problem
from contracts import small
from toys import Toy, pale_images

QUERY = pale_images(1)
PROBLEM = Problem(QUERY, Toy(), Toy()(QUERY).detach(), torch.tensor([1]))


def reddened(by, best=None):
    colour = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    return Solution(QUERY + by * colour, None, 1, "exhausted", best=None if best is None else QUERY + best * colour)


def test_the_mean_of_the_changes_is_shown():
    found = consensus(PROBLEM, NATURAL, QUERY, [[reddened(0.3), reddened(0.5)]])
    torch.testing.assert_close(found, reddened(0.4).image)


def test_where_the_mean_falls_behind_a_single_search_that_one_is_shown():
    weak, strong = reddened(-0.5), reddened(0.4)
    assert torch.equal(consensus(PROBLEM, NATURAL, QUERY, [[weak, strong]]), strong.image)
    lagging = reddened(-0.1, best=0.4)
    assert torch.equal(consensus(PROBLEM, NATURAL, QUERY, [[lagging]]), lagging.best), "also the best of its iterates"
    none = consensus(PROBLEM, NATURAL, QUERY, [[reddened(-0.1), reddened(-0.3)]])
    torch.testing.assert_close(none, reddened(-0.2).image)


def test_the_spread_is_the_standard_deviation_over_searches_and_channels():
    between = spread(QUERY, [reddened(0.3), reddened(0.5)])
    torch.testing.assert_close(between, torch.full((1, 1, 32, 32), 0.1 / 3**0.5))
    assert spread(QUERY, [reddened(0.3)]).isnan().all()


@pytest.mark.parametrize(("other", "agreement"), [(0.4, 1.0), (-0.4, 0.0), (0.0, 0.5)])
def test_agreement_is_1_of_equal_changes_and_0_of_opposite_ones(other, agreement):
    edit = explain(Toy(), QUERY, "red", method=small(NATURAL))
    pair = [reddened(0.4), reddened(other)]
    change = torch.stack([s.image for s in pair]).mean(0) - QUERY
    edit = replace(edit, anchor=QUERY, painted=QUERY + change, spread=spread(QUERY, pair))
    assert float(evaluate(edit).search_agreement[0]) == pytest.approx(agreement, abs=1e-5)


def test_a_result_is_the_same_on_one_thread_and_on_two():
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(explain(Toy(), QUERY, "red", method=small(NATURAL)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].image, found[1].image)
    assert torch.equal(found[0].spread, found[1].spread)


def test_a_single_search_has_no_spread_and_a_batch_keeps_its_own():
    assert explain(Toy(), QUERY, "red", method=small(METHODS["fast"])).spread is None
    flipped = explain(Toy(), QUERY, "red", method=small(NATURAL))
    both = explain(Toy(), torch.cat([flipped.image, QUERY]), "red", method=small(NATURAL))
    assert both[0].spread.isnan().all(), "nothing was searched for"
    assert torch.equal(both[1].spread, flipped.spread)


class Stateful(Toy):
    """Keeps a value between two lines of a call, as many modules do."""

    def forward(self, images):
        self.kept = images
        time.sleep(0.001)
        return super().forward(self.kept)


def test_searches_beside_each_other_do_not_share_the_state_of_a_module():
    alone = explain(Toy(), QUERY, "red", method=small(NATURAL))
    assert torch.equal(explain(Stateful(), QUERY, "red", method=small(NATURAL)).image, alone.image)


class Uncopied(Toy):
    def __deepcopy__(self, memo):
        raise TypeError("not me")


def test_a_classifier_that_cannot_be_copied_searches_one_after_another():
    classifier = Uncopied()
    assert one_each(classifier, 2, beside=2) == [classifier]
    alone = explain(Toy(), QUERY, "red", method=small(NATURAL))
    assert torch.equal(explain(classifier, QUERY, "red", method=small(NATURAL)).image, alone.image)


def test_an_error_of_one_search_does_not_wait_for_the_others():
    go_on = threading.Event()

    def run(task):
        if task == 0:
            raise ValueError("stopped")
        return go_on.wait(60)

    try:
        with pytest.raises(ValueError, match="stopped"):
            beside_each_other([0, 1, 2], run, 2)
    finally:
        go_on.set()
