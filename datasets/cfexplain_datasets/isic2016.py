"""ISBI / ISIC 2016 challenge, part 3: 900 training and 379 test images, benign or malignant."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cfexplain_datasets.archive import all_files, picture_folders
from cfexplain_datasets.report import DataError
from cfexplain_datasets.table import LesionTable, intake

CLASSES = ("benign", "malignant")
FETCH = "isic image download --collections 74,61 ISIC2016/"


def read(folder: str | Path) -> LesionTable:
    """Read `ISBI2016_ISIC_Part3_{Training,Test}_GroundTruth.csv` (no header, or img_id,Label) and the pictures.

    Labels are benign and malignant in the training table, 0 and 1 in the test table.

    Raises:
        DataError: no table or no picture is there.
    """
    folder = Path(folder)
    tables = all_files(folder, "*2016*Part3*_GroundTruth*.csv")
    if not tables:
        raise DataError(
            f"{folder} holds no ISIC 2016 table (ISBI2016_ISIC_Part3_*_GroundTruth.csv); "
            f"fetch it with the isic command-line tool: {FETCH}"
        )
    rows = pd.concat([_rows(path) for path in tables], ignore_index=True)
    pictures, masks = picture_folders(folder)
    return intake(rows, pictures, CLASSES, name="isic2016", mask_folders=masks, fetch=FETCH)


def _rows(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, header=None, names=["id", "label"], dtype=str)
    table = table[table["id"].str.startswith("ISIC")]
    numbers = {"0": "benign", "0.0": "benign", "1": "malignant", "1.0": "malignant"}
    return table.assign(label=table["label"].replace(numbers), split="test" if "Test" in path.name else "train")
