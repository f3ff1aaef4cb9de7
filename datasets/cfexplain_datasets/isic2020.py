"""ISIC 2020 challenge: 33,126 training images of 2,056 patients, benign or malignant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from cfexplain_datasets.archive import all_files, first_file, picture_folders, read_csv
from cfexplain_datasets.report import Report
from cfexplain_datasets.table import LesionTable, intake

CLASSES = ("benign", "malignant")
FETCH = "isic image download --collections 70 ISIC2020/"


def read(folder: str | Path) -> LesionTable:
    """Read `ISIC_2020_Training_GroundTruth*.csv`, the list of duplicates, and the pictures.

    Images of one patient share the patient as `lesion_id`, so that splits never part a patient; of the listed
    duplicates the second is left out and reported.

    Raises:
        DataError: no table or no picture is there.
    """
    folder = Path(folder)
    rows = read_csv(first_file(folder, ("ISIC_2020_*GroundTruth*.csv", "train.csv"), "ISIC 2020", FETCH))
    rows = rows.rename(columns={"image_name": "id", "benign_malignant": "label"})
    rows = rows.drop(columns=["target"], errors="ignore")
    if "patient_id" in rows:
        rows["lesion_id"] = rows["patient_id"].where(rows["patient_id"].notna(), rows["id"])
    twins = [read_csv(p) for p in all_files(folder, "ISIC_2020_*Duplicates*.csv")]
    second = set(pd.concat(twins)["image_name_2"]) if twins else set()
    pictures, masks = picture_folders(folder)
    whole = intake(rows, pictures, CLASSES, name="isic2020", mask_folders=masks, fetch=FETCH)
    listed = [i for i in whole.table.index if i in second]
    report = Report(list(whole.report.findings))
    report.add("images that the archive lists as duplicates", listed, "left out")
    return replace(whole, table=whole.table.drop(index=listed), report=report)
