"""ISBI / ISIC 2016 challenge, part 3: 900 training and 379 test images, benign or malignant."""

from pathlib import Path

import pandas as pd

from cfexplain_datasets.layout import Layout

NUMBERS = {"0": "benign", "0.0": "benign", "1": "malignant", "1.0": "malignant"}  # labels of the test table


def _load(path: Path, folder: Path) -> pd.DataFrame:
    rows = pd.read_csv(path, header=None, names=["id", "label"], dtype=str)  # not all tables have a header
    rows = rows[rows["id"].str.startswith("ISIC")]
    return rows.assign(label=rows["label"].replace(NUMBERS), split="test" if "Test" in path.name else "train")


read = Layout(
    name="isic2016",
    classes=("benign", "malignant"),
    fetch="isic image download --collections 74,61 ISIC2016/",
    challenge="*2016*Part3*_GroundTruth*.csv",
    load=_load,
)
