"""ISIC 2019 challenge: 25,331 training images of eight diagnoses (HAM10000, BCN20000 and MSK together)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cfexplain_datasets.archive import all_files, missing, one_hot, picture_folders, read_csv, truths
from cfexplain_datasets.table import LesionTable, intake

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
FETCH = "isic image download --collections 65 ISIC2019/"
_TRUTH = "ISIC_2019_*GroundTruth*.csv"


def read(folder: str | Path) -> LesionTable:
    """Read `ISIC_2019_Training_GroundTruth.csv` (one-hot), `ISIC_2019_Training_Metadata.csv` and the pictures.

    Where the tables of the test are there too, each image has its split. The metadata's `gender` or `sex`,
    `age_approx` and `anatom_site_general` become sex, age, localization. `UNK`, the ninth column, is no class: such
    images are unlabelled.

    Raises:
        DataError: no table or no picture is there.
    """
    folder = Path(folder)
    truth = truths(folder, _TRUTH)
    if truth is None:
        raise missing(folder, (_TRUTH,), "ISIC 2019", FETCH)
    rows = one_hot(truth, CLASSES)
    facts = all_files(folder, "ISIC_2019_*Metadata*.csv")
    if facts:
        rows = rows.merge(pd.concat([read_csv(p) for p in facts]).drop_duplicates("image"), on="image", how="left")
    pictures, masks = picture_folders(folder)
    rows = rows.drop(columns=["UNK"], errors="ignore").rename(columns={"image": "id"})
    return intake(rows, pictures, CLASSES, name="isic2019", mask_folders=masks, fetch=FETCH)
