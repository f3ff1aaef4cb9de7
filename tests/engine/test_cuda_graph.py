"""What surrounds recorded networks; that they compute the same is in test_gpu.py."""

import pytest
import torch

from cfexplain import PIXELS, explain
from cfexplain.engine.cuda_graph import GraphedClassifier, tf32_matmul
from toys import Toy, pale_images


@pytest.fixture
def precision():
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("asked", ["highest", "high", "medium"])
def testtf32_matmul_end_with_the_block(asked, precision):
    torch.set_float32_matmul_precision(asked)
    products = torch.backends.cuda.matmul
    name = "fp32_precision" if hasattr(products, "fp32_precision") else "allow_tf32"
    before = getattr(products, name)
    with tf32_matmul(True):
        assert getattr(products, name) in ("tf32", True)
    assert getattr(products, name) == before
    assert torch.get_float32_matmul_precision() == asked


def test_a_graphed_classifier_stands_for_the_one_it_records():
    toy = Toy()
    graphed = GraphedClassifier(toy)
    assert graphed.module is toy
    assert graphed.classes == toy.classes
    images = pale_images(2)
    torch.testing.assert_close(graphed(images).logits, toy(images).logits)
    ours, theirs = (explain(classifier, images[:1], "red", method=PIXELS) for classifier in (graphed, toy))
    assert torch.equal(ours.image, theirs.image)
