"""The shipped classifiers on real lesions: what the package is for."""

import pytest
import torch

import cfexplain
from cfexplain.images import round8, square
from cfexplain_classifiers import judge, load
from cfexplain_classifiers.batches import evaluation_batches
from cfexplain_datasets import open_dataset


@pytest.fixture(scope="module")
def test_split(isic_data):
    return open_dataset("ham10000", isic_data / "ham10000_200x150").subset("test")


def test_a_real_nevus_becomes_a_melanoma(test_split):
    classifier = load("ham10000")
    ids = test_split.table.index[test_split.table["label"] == "nv"][:1]
    lesion = test_split.select(ids)[0]
    image = square(lesion.image, classifier.image_size)[None]
    state = {k: v.clone() for k, v in classifier.state_dict().items()}
    result = cfexplain.explain(classifier, image, "mel")
    assert result.found == (True,)
    assert torch.equal(round8(result.image), result.image)
    assert classifier.classes[int(classifier(result.image).logits.argmax())] == "mel"
    table = cfexplain.evaluate(result)
    assert float(table["anchor_psnr"].iloc[0]) > 27
    assert float(table["mean_change"].iloc[0]) < 0.1
    assert all(torch.equal(v, state[k]) for k, v in classifier.state_dict().items())


def test_the_model_card_is_true_on_a_part_of_the_test_split(test_split):
    part = test_split.select(test_split.table.index[::5])
    found = judge(load("ham10000"), evaluation_batches(part, 128))
    assert found.n == 304
    assert found.classifier["macro_auroc"] > 0.92
    assert found.estimator["spearman"] > 0.85
