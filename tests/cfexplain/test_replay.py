"""What surrounds recorded networks; that they compute the same is in test_gpu.py."""

import pytest
import torch

from cfexplain import explain
from cfexplain.engine.cuda_graph import GraphedClassifier, _rough_products
from toys import Toy, pale_images


@pytest.fixture
def precision():
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("asked", ["highest", "high", "medium"])
def test_rough_products_end_with_the_block(asked, precision):
    torch.set_float32_matmul_precision(asked)
    products = torch.backends.cuda.matmul
    name = "fp32_precision" if hasattr(products, "fp32_precision") else "allow_tf32"
    before = getattr(products, name)
    with _rough_products(True):
        assert getattr(products, name) in ("tf32", True)
    assert getattr(products, name) == before
    assert torch.get_float32_matmul_precision() == asked


def test_anchors_are_kept_for_a_classifier_that_stands_for_another(tmp_path):
    toy = Toy()
    assert GraphedClassifier(toy).module is toy
    explain(GraphedClassifier(toy), pale_images(1), "red", anchors=tmp_path / "one")
    explain(toy, pale_images(1), "red", anchors=tmp_path / "other")
    kept, others = (sorted(p.name for p in (tmp_path / k).iterdir()) for k in ("one", "other"))
    assert kept == others != []
