"""ISIC 2020 challenge: 33,126 training images of 2,056 patients, benign or malignant.

The patient is the `lesion_id`, so that splits keep a patient's images together.
"""

from pathlib import Path

import pandas as pd

from cfexplain_datasets.layout import Layout, files, load_table, read_table
from cfexplain_datasets.table import LesionTable


def _load(path: Path, folder: Path) -> pd.DataFrame:
    rows = load_table(path).rename(columns={"benign_malignant": "label"}).drop(columns="target", errors="ignore")
    return rows.assign(lesion_id=rows["patient_id"]) if "patient_id" in rows else rows


def _without_duplicates(dataset: LesionTable, folder: Path) -> LesionTable:
    second = [name for path in files(folder, "ISIC_2020_*Duplicates*.csv") for name in read_table(path)["image_name_2"]]
    listed = dataset.table.index[dataset.table.index.isin(second)]
    return dataset.without("images that the archive lists as duplicates", listed)


read = Layout(
    name="isic2020",
    classes=("benign", "malignant"),
    fetch="isic image download --collections 70 ISIC2020/",
    tables=("ISIC_2020_*GroundTruth*.csv", "train.csv"),
    load=_load,
    finish=_without_duplicates,
)
