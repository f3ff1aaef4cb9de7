"""Data sets for the command line and the app: the module of the entry-point group `cfexplain.datasets`."""

from collections.abc import Callable

import torch
from torch import Tensor

from cfexplain.types import Images
from cfexplain_datasets import open_dataset as open_dataset
from cfexplain_datasets.augment import training_augmentation as training_augmentation
from cfexplain_datasets.check import check as check
from cfexplain_datasets.check import findings as findings
from cfexplain_datasets.lesion import OTHER_NAMES as OTHER_NAMES
from cfexplain_datasets.lesion import Lesion
from cfexplain_datasets.report import DataError
from cfexplain_datasets.splits import refuse_leaks as refuse_leaks
from cfexplain_datasets.splits import with_splits as with_splits
from cfexplain_datasets.splits import without_leaks as without_leaks
from cfexplain_datasets.synthetic import SyntheticLesions
from cfexplain_datasets.table import LesionTable


def subset(dataset: LesionTable, split: str) -> LesionTable:
    """The images of a split, of `all` splits, or of `auto`: the test split if there is one, and all otherwise."""
    if split == "auto":
        split = "test" if "test" in set(dataset.table["split"]) else "all"
    samples = dataset if split == "all" else dataset.subset(split)
    if split != "all" and len(samples) == 0:
        raise DataError(f"the data set has no images in the split {split}: use --split all")
    return samples


def demo_lesion(seed: int, predict: Callable[[Images], Tensor]) -> Lesion:
    """A synthetic test lesion of class 1, malignant, that `predict` (images to class indices) recognises; any seed."""
    samples = SyntheticLesions(40, size=64, split="test")
    malignant = [lesion for lesion in map(samples.__getitem__, range(len(samples))) if lesion.label == 1]
    predicted = predict(torch.stack([lesion.image for lesion in malignant]))
    known = [lesion for lesion, index in zip(malignant, predicted, strict=True) if index == 1]
    return known[seed % len(known)]
