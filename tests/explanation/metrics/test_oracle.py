"""An oracle is asked by class names, at its own size, and only counts where it saw the source."""

import pytest
import torch

from cfexplain.explanation.metrics.oracle import ask_oracle
from cfexplain.types import Prediction
from edits import edit_of, follows_the_order
from toys import Toy

NAMES = ("pale", "red", "blue")


class Redness:
    """Three classes by the mean of a channel; asked at 8 pixels."""

    classes = ("red", "other", "pale")
    image_size = 8

    def __call__(self, images):
        assert images.shape[-2:] == (8, 8)
        red = images.mean(dim=(1, 2, 3)) - 0.6
        return Prediction(torch.stack([20 * red, torch.full_like(red, -50), -20 * red], dim=1))


def edits():
    """Four grey pictures: to red, to red but faint, already red for the oracle, to a class it does not know."""
    query = torch.tensor([0.4, 0.4, 0.8, 0.4])[:, None, None, None].expand(4, 3, 16, 16)
    change = torch.tensor([0.4, 0.1, 0.1, 0.4])[:, None, None, None].expand(4, 3, 16, 16)
    said = torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1)
    return edit_of(change, query=query, target=[1, 1, 1, 2], logits=said)


def test_each_answer_by_hand():
    belief = ask_oracle(edits(), Redness(), classes=NAMES)
    assert belief.counted.tolist() == [True, True, False, False]
    assert belief.flipped.tolist() == [True, False, True, False]
    sure = float(torch.tensor(8.0).sigmoid())  # logits of 20 * 0.2 either way
    assert float(belief.gain[0]) == pytest.approx(sure - (1 - sure), abs=1e-5)
    assert belief.gain.isnan().tolist() == [False, False, False, True]


def test_no_change_is_no_gain_and_no_flip():
    belief = ask_oracle(edit_of(torch.zeros(2, 3, 16, 16)), Redness(), classes=NAMES[:2])
    assert belief.gain.tolist() == [0.0, 0.0]
    assert not belief.flipped.any()


def test_the_edit_may_name_its_classes():
    edit = edits()
    edit.classes = NAMES
    assert ask_oracle(edit, Redness()).counted.any()


def test_too_few_names_are_refused():
    with pytest.raises(ValueError, match="2 class names but 3 logits"):
        ask_oracle(edits(), Redness(), classes=NAMES[:2])


def test_another_order_gives_the_same_answers():
    for part in ("counted", "flipped"):
        assert follows_the_order(lambda e, part=part: getattr(ask_oracle(e, Redness(), classes=NAMES), part), edits())


def test_the_oracle_is_left_as_it_was():
    oracle = Toy()
    before = {name: value.clone() for name, value in oracle.state_dict().items()}
    belief = ask_oracle(edit_of(torch.rand(1, 3, 16, 16) * 0.1), oracle, classes=Toy.classes)
    assert not belief.gain.requires_grad
    assert all(torch.equal(before[name], value) for name, value in oracle.state_dict().items())
    with pytest.raises(ValueError, match="training mode"):
        ask_oracle(edits(), oracle.train(), classes=NAMES)
