"""Measures of classifier and estimator, by hand; `test_training` evaluates a trained classifier."""

import numpy as np
import pytest
import torch
from torch import nn

from cfexplain.types import Prediction
from cfexplain_classifiers import judge
from cfexplain_classifiers.judgement import calibration_error, sensitivity_at, strangers_from


class Known(nn.Module):
    """Reads logits and estimated loss off the first three pixels."""

    classes = ("benign", "malignant")

    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        pixels = images[:, 0, 0, :3]
        return Prediction(pixels[:, :2], (), pixels[:, 2])


def test_a_judgement_by_hand():
    logits = torch.tensor([[4.0, 0.0], [3.0, 0.0], [1.0, 0.0], [0.0, 4.0], [0.0, 2.0], [0.5, 0.0]])
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    loss = nn.functional.cross_entropy(logits, labels, reduction="none")
    images = torch.zeros(6, 3, 4, 4)
    images[:, 0, 0, :3] = torch.cat([logits, loss[:, None]], 1)
    found = judge(Known(), [(images, labels)], strangers={"far": images.clone().index_fill_(3, torch.tensor([2]), 9.0)})
    assert (found.n, found.classifier["accuracy"]) == (6, pytest.approx(5 / 6))
    assert found.classifier["recall_malignant"] == pytest.approx(2 / 3)
    assert found.classifier["macro_auroc"] == 1
    assert found.classifier["sensitivity_malignant_at_specificity_0.90"] == 1
    assert found.estimator["spearman"] == found.estimator["ranking_accuracy"] == pytest.approx(1)
    assert found.estimator["by_class"]["benign"]["kendall"] == pytest.approx(1)
    assert (found.misclassification["errors"], found.misclassification["estimator"]) == (1, 1)
    low, high = found.misclassification["estimator_minus_max_softmax_interval"]
    assert low <= 0 <= high
    assert found.out_of_distribution["far"]["estimator"] == found.out_of_distribution["mean"]["estimator"] == 1
    assert found.out_of_distribution["far"]["max_softmax"] == 0.5
    assert found.reliability["true_loss"] == sorted(found.reliability["true_loss"])


def test_a_constant_estimate_ranks_at_random():
    images, labels = torch.zeros(4, 3, 4, 4), torch.tensor([0, 1, 0, 1])
    images[:, 0, 0, :2] = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])
    found = judge(Known(), [(images, labels)])
    assert found.estimator["ranking_accuracy"] == 0.5
    assert found.misclassification == {"errors": 0}
    assert found.out_of_distribution == {}


def test_out_of_distribution_images_are_reproducible_and_of_the_lesions_size():
    images = torch.rand(5, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    first, second = strangers_from(images), strangers_from(images)
    assert set(first) == {"photographs", "inverted colours", "white noise"}
    for kind, values in first.items():
        assert torch.equal(values, second[kind])
        assert values.shape == images.shape
        assert 0 <= float(values.min()) <= float(values.max()) <= 1


def test_measures_by_hand():
    assert calibration_error(torch.tensor([[0.9, 0.1], [0.9, 0.1]]), torch.tensor([0, 1])) == pytest.approx(0.4)
    scores, positive = np.arange(20) / 20, np.arange(20) % 2 == 1
    assert 0 < sensitivity_at(scores, positive, 0.9) <= 0.2


def test_sensitivity_is_undefined_without_either_kind():
    score = np.array([0.1, 0.9])
    assert np.isnan(sensitivity_at(score, np.array([True, True]), 0.9))
    assert np.isnan(sensitivity_at(score, np.array([False, False]), 0.9))
