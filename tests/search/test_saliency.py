"""The region that an edit may change."""

import torch

from cfexplain import NATURAL, explain
from cfexplain.classifier.checks import predict
from cfexplain.method.views import Views
from cfexplain.search.saliency import salient_region
from cfexplain.types import Problem
from contracts import small
from toys import Toy, pale_images

STILL = Views(count=1, rotation=0, scale=(1, 1), shift=0, flip=False, noise=0, blur=0, colour=0)


def problem(region=None):
    query = pale_images(1)
    return Problem(query, Toy(), predict(Toy(), query), torch.tensor([1]), region)


def test_it_lies_where_the_classifier_looks_and_grows_with_the_share():
    middle = torch.zeros(1, 1, 32, 32)
    middle[..., 8:-8, 8:-8] = 1  # the toy reads the redness there
    found = {share: salient_region(problem(), share, STILL) for share in (0.5, 0.75, 0.95)}
    assert all(r.shape == (1, 1, 32, 32) and float(r.min()) >= 0 and float(r.max()) <= 1 for r in found.values())
    assert float((found[0.5] * middle).sum() / found[0.5].sum()) > 0.9
    areas = [float(r.mean()) for r in found.values()]
    assert areas == sorted(areas)
    assert areas[0] < areas[-1]


def test_it_stays_within_the_region_of_the_user():
    left = torch.zeros(1, 1, 32, 32)
    left[..., :16] = 1
    found = salient_region(problem(left), 0.75, STILL)
    assert float(found[..., 16:].abs().max()) == 0
    assert float(found.max()) > 0.5


def test_two_seeds_have_one_region_and_nothing_changes_outside_of_it():
    inside = salient_region(problem(), NATURAL.salient, small(NATURAL).edit.views) > 0
    for seed in (0, 1):
        edit = explain(Toy(), pale_images(1), "red", method=small(NATURAL), seed=seed)
        assert edit.found == (True,)
        assert float((edit.difference.abs().sum(1, keepdim=True) * ~inside).max()) == 0
        assert edit.region is None, "the region of the user is kept apart"
