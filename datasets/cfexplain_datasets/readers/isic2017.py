"""ISIC 2017 challenge, part 3: 2,750 images; melanoma, nevus, seborrheic keratosis; CC0.

Copies of its tables are in circulation in which the ids are row numbers: they are replaced by the names of the images
where a split has exactly one image for each row, and refused otherwise.
"""

from pathlib import Path

import pandas as pd

from cfexplain_datasets.layout import Layout, load_table, one_hot, split_of
from cfexplain_datasets.report import DataError
from cfexplain_datasets.table import LesionTable, image_folders

CHALLENGE = "ISIC-2017_*Part3_GroundTruth*.csv"
FETCH = "isic image download --collections 60,71,69 ISIC2017/"
ONE_HOT = ("melanoma", "seborrheic_keratosis")


def _load(path: Path, folder: Path) -> pd.DataFrame:
    rows = load_table(path)
    if not {"id", *ONE_HOT} <= set(rows):
        return rows  # details, or not ISIC 2017
    rows = rows.assign(restored=False)
    if path.match(CHALLENGE):
        rows = rows.dropna(subset=["melanoma"]).assign(split=split_of(path) or "train")
        if not rows["id"].str.startswith("ISIC").all():
            rows = rows.assign(id=_names(rows, path, folder), restored=True)
    return one_hot(rows, ONE_HOT).fillna({"label": "nevus"}).drop(columns=["dx", "file"], errors="ignore")


def _names(rows: pd.DataFrame, path: Path, folder: Path) -> list[str]:
    """The names of a split's images in the order of their row numbers."""
    folders = [f for f in image_folders(folder)[0] if split_of(f) == rows["split"].iloc[0]]
    names = sorted(image.stem for f in folders for image in f.glob("ISIC_*.jp*g"))
    numbered = rows["id"].str.replace(",", "").tolist() == [str(i + 1) for i in range(len(rows))]
    if not numbered or len(names) != len(rows):
        raise DataError(
            f"{path.name} names its images by row number, and {len(names)} images of that split are here for "
            f"{len(rows)} rows: fetch the table with ids from challenge.isic-archive.com/data, images with {FETCH}"
        )
    return names


def _report_restored(dataset: LesionTable, folder: Path) -> LesionTable:
    ids, table = dataset.table.index[dataset.table["restored"]], dataset.table.drop(columns="restored")
    return dataset.with_finding("ids that were row numbers", ids, "inferred from the sorted names of the images", table)


read = Layout(
    name="isic2017",
    classes=("melanoma", "nevus", "seborrheic_keratosis"),
    fetch=FETCH,
    load=_load,
    challenge=CHALLENGE,
    details="ISIC-2017_*_metadata.csv",
    tables=(CHALLENGE, "labels.csv"),
    finish=_report_restored,
)
