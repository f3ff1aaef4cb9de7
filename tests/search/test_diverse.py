"""Several answers: each flips, and they differ more than seeds alone do."""

from dataclasses import replace

import pytest
import torch

from cfexplain import NATURAL, explain, explain_diverse
from cfexplain.generators import DeepImagePrior
from cfexplain.terms import Unlike
from cfexplain.types import Candidate, Problem
from edits import diversity
from toys import Toy, pale_images

SMALL = DeepImagePrior(widths=(8, 12, 16), skips=(4, 4, 4))
ANCHOR, EDIT = replace(NATURAL.anchor, steps=60), replace(NATURAL.edit, steps=40)
QUICK = replace(NATURAL, generator=SMALL, anchor=ANCHOR, edit=EDIT, line_search=None)


def test_the_term_is_the_squared_cosine():
    query = torch.full((1, 3, 4, 4), 0.5)
    one, other = torch.zeros_like(query), torch.zeros_like(query)
    one[..., :2], other[..., 2:] = 0.2, 0.2

    def value(change, *former):
        return float(Unlike(former)(Candidate(query + change, Problem(query), None, query)))

    assert value(one, one) == pytest.approx(1, abs=1e-3)
    assert value(one, -one) == pytest.approx(1, abs=1e-3)
    assert value(one, other) == 0
    assert value(one, one, other) == pytest.approx(0.5, abs=1e-3)
    assert value(0 * one, one) == 0
    assert value(one) == 0


def test_answers_differ_more_than_seeds_do_and_the_first_is_that_of_explain():
    images = pale_images(1)
    answers = explain_diverse(Toy(), images, "red", count=2, method=QUICK)
    seeds = [explain(Toy(), images, "red", method=QUICK, seed=k) for k in range(2)]
    assert torch.equal(answers[0].image, seeds[0].image)
    assert [answer.seed for answer in answers] == [0, 1]
    assert all(all(a.found) for a in answers)
    assert float(diversity(answers).mean()) > float(diversity(seeds).mean())


def test_bad_use_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        explain_diverse(Toy(), pale_images(1), "red", count=0)
    with pytest.raises(ValueError, match="give one image"):
        explain_diverse(Toy(), pale_images(2), "red")
    with pytest.raises(ValueError, match="region"):
        explain_diverse(Toy(), pale_images(1), "red", region=torch.ones(1, 3, 32, 32))


def test_region_and_callback_are_those_of_explain():
    region, seen = torch.zeros(1, 1, 32, 32), []
    region[..., 8:, :] = 1
    short = replace(QUICK, anchor=replace(ANCHOR, steps=3), edit=replace(EDIT, steps=2, continuation=None))
    asked = {"region": region, "callback": lambda i, stage, step: seen.append(stage)}
    for edit in explain_diverse(Toy(), pale_images(1), "red", count=2, method=short, **asked):
        assert float((edit.difference * (1 - region)).abs().max()) == 0
    assert seen.count("edit") == 4
    assert set(seen) == {"anchor", "edit"}
