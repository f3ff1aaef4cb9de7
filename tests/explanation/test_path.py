"""The path starts at the query and passes the counterfactual."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

import cfexplain
from cfexplain import NATURAL, PIXELS, TV, explain
from cfexplain.explanation.figures import path_of
from cfexplain.images import round8
from toys import Toy, pale_images

QUICK = replace(NATURAL, anchor=replace(NATURAL.anchor, steps=60), edit=replace(NATURAL.edit, steps=60))


@pytest.fixture(scope="module", params=[QUICK, TV], ids=lambda m: m.name)
def result(request):
    return explain(Toy(), pale_images(1), "red", method=request.param)


def test_it_leads_from_the_query_through_the_counterfactual(result):
    path = path_of(result, Toy(), frames=16)
    assert torch.equal(path.frames[0], round8(result.query)[0])
    at_one = int((path.alphas - 1).abs().argmin())
    torch.testing.assert_close(path.frames[at_one], result.image[0], atol=1.01 / 255, rtol=0)
    assert int(path.prediction.logits[0].argmax()) == int(result.source) == 0
    assert int(path.prediction.logits[at_one].argmax()) == int(result.target) == 1


def test_the_probability_of_the_target_rises_along_it(result):
    seen = path_of(result, Toy(), frames=7).prediction.probabilities[:, 1]
    assert bool((seen.diff() > -1e-3).all())


def test_it_is_drawn_and_animated(result, tmp_path):
    path = path_of(result, Toy(), frames=5)
    assert len(path.plot().axes) == 7
    (tmp_path / "path.gif").write_bytes(path.gif())
    with Image.open(tmp_path / "path.gif") as gif:
        assert gif.size == (256, 256)
        assert gif.n_frames == 8


def test_a_path_leads_through_its_counterfactual():
    result = explain(Toy(), pale_images(1), "red", method=PIXELS)
    path = path_of(result, Toy())
    place = int((path.alphas - 1).abs().argmin())
    assert float(path.alphas[place]) == 1
    assert torch.equal(path.frames[place : place + 1], result.image)
    assert int(path.prediction.logits[place].argmax()) == int(result.target)


def test_the_path_of_a_wide_picture_is_wide(tmp_path):
    found = explain(Toy(), torch.nn.functional.interpolate(pale_images(1), (32, 96)), "red", method=PIXELS)
    (tmp_path / "path.gif").write_bytes(path_of(found, Toy(), frames=4).gif())
    with Image.open(tmp_path / "path.gif") as animation:
        assert animation.size == (256, 85)


def test_names_are_no_formulas(tmp_path):
    class Priced(Toy):
        classes = ("$10_$", "_over $10")

    found = explain(Priced(), pale_images(1), "_over $10", method=PIXELS)
    cfexplain.save(cfexplain.describe(found, Priced()), tmp_path / "one")
    figure = path_of(found, Priced(), frames=4).plot()
    named = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert [name.replace("\\", "").strip() for name in named] == ["$10_$", "_over $10"]
    figure.savefig(tmp_path / "path.png")
