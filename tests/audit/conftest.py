"""A small classifier, drawn lesions, and a finished audit of them."""

import pytest

import cfexplain_classifiers
from cfexplain.audit import audit
from cfexplain.method.presets import PIXELS
from cfexplain_datasets.synthetic import SyntheticLesions


@pytest.fixture(scope="session")
def classifier():
    return cfexplain_classifiers.folded(cfexplain_classifiers.load("synthetic"))


@pytest.fixture(scope="session")
def lesions():
    return SyntheticLesions(8, size=64, split="test")


@pytest.fixture(scope="session")
def finished(classifier, lesions, tmp_path_factory):
    """Do not write into its folder."""
    out = tmp_path_factory.mktemp("audit")
    return audit({"synthetic": classifier}, lesions, out, method=PIXELS, rules=["found<0.4", "accuracy<1.01"])
