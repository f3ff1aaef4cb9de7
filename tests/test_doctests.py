"""Every example in a docstring runs and is true."""

import doctest
import pkgutil
from importlib import import_module

import pytest

PACKAGES = ("cfexplain", "cfexplain_classifiers", "cfexplain_datasets")


def modules():
    for name in PACKAGES:
        package = import_module(name)
        yield name
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_examples_run(name):
    module = import_module(name)
    import torch

    result = doctest.testmod(module, extraglobs={"torch": torch}, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
