"""HAM10000, which is also the training set of ISIC 2018 task 3: 10,015 images of seven diagnoses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cfexplain_datasets.archive import first_file, one_hot, picture_folders, read_csv
from cfexplain_datasets.table import LesionTable, intake

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
FETCH = "isic image download --collections 212 HAM10000/"
_TABLES = ("labels.csv", "HAM10000_metadata*", "metadata.csv", "ISIC2018_Task3_*GroundTruth*.csv")


def read(folder: str | Path) -> LesionTable:
    """Read HAM10000 in any of its layouts.

    The tables: `HAM10000_metadata` (with or without .csv, with foreign rows), the challenge's one-hot
    `ISIC2018_Task3_*_GroundTruth.csv`, or `labels.csv`. Pictures and masks are found in the folders of the
    archive's zip files, or in `images` and `masks*`.

    Raises:
        DataError: no table or no picture is there; the message gives the command that fetches them.
    """
    folder = Path(folder)
    table = read_csv(first_file(folder, _TABLES, "HAM10000", FETCH))
    rows = one_hot(table, CLASSES) if "dx" not in table else table.rename(columns={"dx": "label"})
    rows = rows.rename(columns={"image_id": "id", "image": "id", "isic_id": "id"})
    rows = rows.drop(columns=[c for c in ("file", "mask_file", "Unnamed: 0") if c in rows])
    rows["label"] = rows["label"].where(rows["label"].isna(), rows["label"].astype(str).str.lower())
    pictures, masks = picture_folders(folder)
    return intake(_with_age(rows), pictures, CLASSES, name="ham10000", mask_folders=masks, fetch=FETCH)


def _with_age(rows: pd.DataFrame) -> pd.DataFrame:
    if "age" in rows:
        rows = rows.assign(age=pd.to_numeric(rows["age"], errors="coerce"))
    return rows
