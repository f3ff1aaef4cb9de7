"""HAM10000, which is also the training set of ISIC 2018 task 3: 10,015 images of seven diagnoses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cfexplain_datasets.archive import all_files, first_file, one_hot, picture_folders, read_csv, truths
from cfexplain_datasets.report import DataError
from cfexplain_datasets.table import LesionTable, intake

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
FETCH = "isic image download --collections 212 HAM10000/"
_TRUTH, _GROUPS = "ISIC2018_Task3_*GroundTruth*.csv", "ISIC2018_Task3_*LesionGroupings*.csv"
_TABLES = ("labels.csv", "HAM10000_metadata*", _TRUTH, "metadata.csv")
_ARCHIVE = {
    "Nevus": "nv",
    "Melanoma, NOS": "mel",
    "Pigmented benign keratosis": "bkl",
    "Basal cell carcinoma": "bcc",
    "Squamous cell carcinoma, NOS": "akiec",
    "Solar or actinic keratosis": "akiec",
    "Dermatofibroma": "df",
    "Benign soft tissue proliferations - Vascular": "vasc",
}
"""The archive's present names of the seven diagnoses, as `isic image download` writes them to metadata.csv."""


def read(folder: str | Path) -> LesionTable:
    """Read HAM10000 in any of its layouts.

    The tables: `HAM10000_metadata` (with or without .csv, with foreign rows), the challenge's one-hot
    `ISIC2018_Task3_*_GroundTruth.csv` (of several, each image has its split; `*_LesionGroupings.csv` says which show
    one lesion), the `metadata.csv` that the isic command-line tool writes, or `labels.csv`.
    Pictures and masks are found in the folders of the archive's zip files, or in `images` and `masks*`.

    Raises:
        DataError: no table or no picture is there; the message gives the command that fetches them.
    """
    folder = Path(folder)
    path = first_file(folder, _TABLES, "HAM10000", FETCH)
    rows = _labelled(_challenge(folder) if path.match(_TRUTH) else read_csv(path))
    rows = rows.rename(columns={"image_id": "id", "image": "id", "isic_id": "id"})
    if "id" not in rows or not rows["label"].isin(CLASSES).any():
        raise DataError(f"{path} is not HAM10000: it needs a column image_id, and dx with {', '.join(CLASSES)}")
    rows = rows.drop(columns=[c for c in ("file", "mask_file") if c in rows])
    if "age" in rows:
        rows["age"] = pd.to_numeric(rows["age"], errors="coerce")
    pictures, masks = picture_folders(folder)
    return intake(rows, pictures, CLASSES, name="ham10000", mask_folders=masks, fetch=FETCH)


def _challenge(folder: Path) -> pd.DataFrame:
    """The challenge's tables, with the lesions where they are known."""
    rows = truths(folder, _TRUTH)
    assert rows is not None, "first_file has found one"
    groups = [table for p in all_files(folder, _GROUPS) if {"image", "lesion_id"} <= set(table := read_csv(p))]
    if not groups:
        return rows
    return rows.merge(pd.concat(groups)[["image", "lesion_id"]].drop_duplicates("image"), on="image", how="left")


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `label`, from dx, the archive's diagnoses, or one-hot columns."""
    if "dx" in table:
        labels = [v.lower() if isinstance(v, str) else v for v in table["dx"]]
        return table.assign(label=pd.Series(labels, table.index, dtype=object)).drop(columns="dx")
    if "diagnosis_3" not in table:
        return one_hot(table, CLASSES)
    named = table["diagnosis_3"].map(_ARCHIVE)
    if "diagnosis_2" in table:
        named = named.fillna(table["diagnosis_2"].map(_ARCHIVE))
    return table.assign(label=named.fillna(table["diagnosis_3"]))
