"""Any table with a column of pictures and a column of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cfexplain.images import SUFFIXES
from cfexplain_datasets.archive import read_csv
from cfexplain_datasets.report import DataError
from cfexplain_datasets.table import LesionTable, intake

IMAGE_COLUMNS = ("image", "path", "file", "filename", "image_id", "isic_id", "image_name", "id")
MASK_COLUMNS = ("mask_path", "mask", "mask_file")
LABEL_COLUMNS = ("label", "dx", "diagnosis", "class", "target", "benign_malignant")
KNOWN = {*IMAGE_COLUMNS, *MASK_COLUMNS, *LABEL_COLUMNS, "lesion_id", "split"}
"""Columns that are known in capitals too."""


def read(
    table: str | Path, *, image: str | None = None, label: str | None = None, classes: Sequence[str] | None = None
) -> LesionTable:
    """Read a CSV file, or a folder with exactly one, whose pictures lie beside it or in a folder below.

    Columns are parted by commas, semicolons or tabs. Masks are those that a column of `MASK_COLUMNS` names, paths
    relative to the table or file names, and otherwise those of the pictures' names in folders of masks.

    Args:
        table: the file or its folder.
        image: column of file names, paths relative to the table, or ids; by default the first of
            `IMAGE_COLUMNS` that exists.
        label: column of class names; by default the first of `LABEL_COLUMNS`.
        classes: names in the order of the labels; sorted names of the table by default.

    Raises:
        DataError: the file or the columns are not there.
    """
    path = _one_table(Path(table))
    rows = read_csv(path, text=[c for c in (*IMAGE_COLUMNS, *LABEL_COLUMNS, *MASK_COLUMNS, image, label) if c])
    rows = _in_small_letters(rows, but=(image, label))
    image = image or _first(IMAGE_COLUMNS, rows)
    label = label or _first([c for c in LABEL_COLUMNS if c != image], rows)
    if image is None or label is None or not {image, label} <= set(rows):
        raise DataError(f"{path} needs a column of pictures and one of labels; it has {', '.join(map(str, rows))}")
    names = rows[label].dropna().str.strip()
    given = [str(p) for p in rows[image]]
    rows = rows.assign(id=_ids(given), path=[_beside(path.parent, p) for p in given], label=rows[label].astype(object))
    rows = rows.drop(columns=[c for c in (image, label) if c not in ("path", "id", "label")])
    rows = _with_masks(rows, path.parent)
    folders = [path.parent, *sorted(p for p in path.parent.rglob("*") if p.is_dir())]
    masks = [f for f in folders[1:] if "mask" in f.name.lower() or "segmentation" in f.name.lower()]
    pictures = [f for f in folders if f not in masks]
    return intake(rows, pictures, classes or sorted(set(names) - {""}), name=path.stem, mask_folders=masks)


def _in_small_letters(rows: pd.DataFrame, but: Sequence[str | None]) -> pd.DataFrame:
    """With columns such as `Image` under the names that are known; what was asked for by name stays."""
    known: dict[str, str] = {}
    for column in map(str, rows):
        name = column.strip().lower()
        if column not in but and name in KNOWN and name not in (*rows, *known.values()):
            known[column] = name
    return rows.rename(columns=known)


def _with_masks(rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """With the column `mask_path`, where the table names masks."""
    mask = _first(MASK_COLUMNS, rows)
    if mask is None:
        return rows
    beside = [_beside(folder, p) if isinstance(p, str) and p.strip() else None for p in rows[mask]]
    return rows.drop(columns=mask).assign(mask_path=pd.Series(beside, rows.index, dtype=object))


def _first(names: Sequence[str], rows: pd.DataFrame) -> str | None:
    return next((name for name in names if name in rows), None)


def _one_table(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob("*.csv")) if path.is_dir() else []
    if len(found) != 1:
        raise DataError(f"{path} is neither a CSV file nor a folder with exactly one (it has {len(found)})")
    return found[0]


def _ids(given: Sequence[str]) -> list[str]:
    """File names without suffix; where folders repeat names, paths without suffix."""
    bare = [str(Path(p).with_suffix("")) if Path(p).suffix.lower() in SUFFIXES else p for p in given]
    short = [Path(p).name for p in bare]
    return short if len(set(short)) == len(set(bare)) else bare


def _beside(folder: Path, given: str) -> str:
    """The absolute path of a file given relative to the table; what was given where there is none."""
    at = folder / given
    return str(at.resolve()) if at.is_file() else given
