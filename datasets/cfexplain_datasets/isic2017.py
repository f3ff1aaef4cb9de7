"""ISIC 2017 challenge, part 3: 2,750 images; melanoma, nevus, seborrheic keratosis; CC0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from cfexplain_datasets.archive import SPLITS, all_files, first_file, picture_folders, read_csv, split_of
from cfexplain_datasets.report import DataError, Report
from cfexplain_datasets.table import LesionTable, intake

CLASSES = ("melanoma", "nevus", "seborrheic_keratosis")
FETCH = "isic image download --collections 60,71,69 ISIC2017/"
GIVEN, RESTORED = "given", "row order"


def read(folder: str | Path) -> LesionTable:
    """Read ISIC 2017: `labels.csv`, or the challenge's `ISIC-2017_*_Part3_GroundTruth.csv` beside its pictures.

    A ground truth whose ids are row numbers is repaired where the folder holds exactly as many pictures of
    that split, in the order of their names, and refused otherwise. Age and sex come from the `*_metadata.csv`.

    Raises:
        DataError: no table or no picture is there.
    """
    folder = Path(folder)
    official = all_files(folder, "ISIC-2017_*Part3_GroundTruth*.csv")
    if official:
        rows = pd.concat([_official(path, folder) for path in official], ignore_index=True)
        facts = [read_csv(p) for p in all_files(folder, "ISIC-2017_*_metadata.csv")]
        if facts:
            rows = rows.merge(pd.concat(facts), on="image_id", how="left")
    else:
        rows = read_csv(first_file(folder, ("labels.csv",), "ISIC 2017", FETCH))
        if not {"image_id", "melanoma", "seborrheic_keratosis"} <= set(rows):
            columns = "image_id, melanoma and seborrheic_keratosis"
            raise DataError(f"{folder / 'labels.csv'} has no columns {columns}: not ISIC 2017")
    rows = rows.assign(id=rows["image_id"], label=_diagnosis(rows))
    rows = rows.drop(columns=[c for c in ("image_id", "dx", "file", "melanoma", "seborrheic_keratosis") if c in rows])
    if "age" in rows:
        rows["age"] = pd.to_numeric(rows["age"], errors="coerce")
    pictures, masks = picture_folders(folder)
    whole = intake(rows, pictures, CLASSES, name="isic2017", mask_folders=masks, fetch=FETCH)
    return _restored(whole)


def _restored(whole: LesionTable) -> LesionTable:
    """Report the ids that were row numbers, and drop the column that marked them."""
    if "ids" not in whole.table:
        return whole
    report = Report(list(whole.report.findings))
    restored = whole.table.index[whole.table["ids"] == RESTORED]
    report.add("ids that were row numbers", restored, "restored from the order of the pictures' names, so inferred")
    return replace(whole, table=whole.table.drop(columns="ids"), report=report)


def _official(path: Path, folder: Path) -> pd.DataFrame:
    """One ground-truth table with its split; row numbers are replaced by ids where that is safe."""
    split = split_of(path) or "train"
    rows = read_csv(path).dropna(subset=["melanoma"]).assign(split=split, ids=GIVEN)
    given = rows["image_id"].astype(str)
    if given.str.startswith("ISIC").all():
        return rows
    word = dict(SPLITS)[split]
    folders = [f for f in picture_folders(folder)[0] if word in f.name]
    here = sorted(p.stem for f in folders for p in f.glob("ISIC_*.jp*g"))
    counted = given.str.replace(",", "").tolist() == [str(i + 1) for i in range(len(rows))]
    if not counted or len(here) != len(rows):
        raise DataError(
            f"{path.name} names its images by row number, and {len(here)} pictures of that split are here for "
            f"{len(rows)} rows: fetch the table with ids from challenge.isic-archive.com/data, pictures with {FETCH}"
        )
    return rows.assign(image_id=here, ids=RESTORED)


def _diagnosis(rows: pd.DataFrame) -> pd.Series[str]:
    melanoma, keratosis = rows["melanoma"].astype(float) > 0, rows["seborrheic_keratosis"].astype(float) > 0
    names = pd.Series("nevus", index=rows.index, dtype=object)
    return names.mask(keratosis, "seborrheic_keratosis").mask(melanoma, "melanoma")
