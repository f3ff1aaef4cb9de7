"""The data set that every reader returns: a table of images on disk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor
from torch.utils.data import Dataset

from cfexplain.images import SUFFIXES, ImageError, load_mask, load_picture, readable
from cfexplain_datasets.fingerprint import Fingerprints
from cfexplain_datasets.lesion import Lesion
from cfexplain_datasets.report import DataError, Report

SPLITS = ("train", "val", "test")
SPLIT_SYNONYMS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
MASK_WORDS = ("mask", "segmentation", "part1_groundtruth")
COLUMNS = ("label", "lesion_id", "split", "path", "mask_path")


@dataclass(frozen=True, eq=False)
class LesionTable(Dataset[Lesion]):
    """Lesion images on disk: row i of `table` describes sample i, with one of `classes` as its label.

    The table is indexed by image id, with the columns label (class name or None), lesion_id, split (train, val, test or
    None), path and mask_path (None without a mask), and all others of the source as metadata. The `report` says what
    the reader found and did.
    """

    classes: tuple[str, ...]
    table: pd.DataFrame
    report: Report = field(default_factory=Report)
    name: str = ""

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Lesion:
        """Read one sample; raises an `ImageError` if the image is damaged (see `readable`)."""
        row = self.table.iloc[index]
        return Lesion(
            id=str(self.table.index[index]),
            image=load_picture(row["path"]),
            label=self.classes.index(row["label"]) if isinstance(row["label"], str) else None,
            mask=load_mask_or_none(row["mask_path"]),
            lesion_id=str(row["lesion_id"]),
            metadata={str(k): v for k, v in row.items() if k not in COLUMNS},
        )

    @property
    def labels(self) -> list[int]:
        """Label of every sample, -1 if unknown."""
        return [self.classes.index(name) if isinstance(name, str) else -1 for name in self.table["label"]]

    def subset(self, split: str) -> LesionTable:
        """The samples of one split."""
        return replace(self, table=self.table[self.table["split"] == split])

    def select(self, ids: Iterable[str]) -> LesionTable:
        """The samples with these ids, in this order."""
        return replace(self, table=self.table.loc[list(ids)])

    def with_finding(self, what: str, ids: Iterable[str], done: str, table: pd.DataFrame) -> LesionTable:
        """Another table of the data set, with a finding added to the report."""
        report = Report([*self.report.findings])
        report.add(what, ids, done)
        return replace(self, table=table, report=report)

    def without(self, what: str, ids: pd.Index[Any] | list[str]) -> LesionTable:
        """The other samples; the report says what was left out."""
        return self.with_finding(what, ids, "left out", self.table.drop(index=ids))

    def readable(self) -> LesionTable:
        """The samples whose image can be read; reads every file once, so that no training fails halfway."""
        return self.without("damaged or unreadable images", Fingerprints.of(self.table).damaged)


def intake(rows: pd.DataFrame, folder: Path, classes: Sequence[str] = (), *, name: str, fetch: str = "") -> LesionTable:
    """Match a table of ids and labels with the images in a folder and below it.

    Left out and reported: repeated ids, rows without an image, and rows whose label is not a class (an empty label is
    an unlabelled sample). Images without a row are reported too. A mask that the table does not name has the name of
    the image, with or without `_segmentation` or `_Segmentation`, in a folder of masks.

    Args:
        rows: with the columns id and label, and optionally lesion_id, split, path and mask_path (file names, or paths
            relative to the folder); all other columns are metadata.
        folder: of the images.
        classes: names in the order of the labels; by default the sorted labels of the table.
        name: of the data set.
        fetch: command that downloads the images, for the `DataError` if none is here.
    """
    report, (image_dirs, mask_dirs) = Report(), image_folders(folder)
    files = _by_stem(image_dirs)
    rows = rows.assign(**{column: None for column in COLUMNS if column not in rows})
    given = rows["path"].where(rows["path"].notna(), rows["id"])
    paths = texts([_find(str(path), folder, files) for path in given], rows.index)
    rows = rows.assign(id=rows["id"].astype(str), label=texts(rows["label"], rows.index), path=paths)
    classes = tuple(classes or sorted(rows["label"].dropna().unique()))
    repeated = rows["id"].duplicated()
    missing = rows["path"].isna() & ~repeated
    unknown = rows["label"].notna() & ~rows["label"].isin(classes) & ~repeated & ~missing
    report.add("rows with an id seen before", rows["id"][repeated], "left out, the first is kept")
    report.add("rows without an image in the folders", rows["id"][missing], "left out")
    report.add("rows of unknown classes", rows["id"][unknown], "left out")
    if (repeated | missing).all():
        advice = f"fetch them with the isic command-line tool: {fetch}" if fetch else "put them beside the table"
        raise DataError(f"none of the {missing.sum()} images that the table names is here; {advice}")
    rows = _completed(rows[~(repeated | missing | unknown)], folder, _by_stem(mask_dirs), report)
    if rows.empty:
        raise DataError(f"no row has a label of {name}: the classes are {', '.join(classes)}")
    used = {os.path.abspath(path) for path in (*rows["path"], *rows["mask_path"].dropna())}
    unused = sorted(path for path in files.values() if os.path.abspath(path) not in used)
    report.add("images that the table does not name", unused, "not used")
    table = rows.set_index("id")
    return LesionTable(classes, table[[*COLUMNS, *(c for c in table if c not in COLUMNS)]], report, name)


def _completed(rows: pd.DataFrame, folder: Path, masks: dict[str, str], report: Report) -> pd.DataFrame:
    lesion = rows["lesion_id"].where(rows["lesion_id"].notna(), rows["id"]).astype(str)
    split = texts([name and split_name(name) for name in texts(rows["split"], rows.index)], rows.index)
    named = texts(rows["mask_path"], rows.index)
    by_image = {re.sub("_[sS]egmentation$", "", stem): masks[stem] for stem in sorted(masks)}
    pairs = zip(rows["id"], named, strict=True)
    paths = [_find(given, folder, masks) if given else by_image.get(image) for image, given in pairs]
    rows = rows.assign(lesion_id=lesion, split=split, mask_path=texts(paths, rows.index))
    lost = rows["id"][named.notna() & rows["mask_path"].isna()]
    report.add("masks that the table names and that are not there", lost, "counted as none")
    other = rows["id"][split.notna() & ~split.isin(SPLITS)]
    report.add("images of a split that is none of train, val, test", other, "counted as having none")
    return rows


def load_mask_or_none(path: object) -> Tensor | None:
    """The mask at a path; None if there is no path, or the mask is empty or damaged."""
    with suppress(ImageError):
        return load_mask(path) if isinstance(path, str) else None
    return None


def texts(values: Iterable[Any], index: pd.Index[Any]) -> pd.Series[Any]:
    """A column of values as stripped strings, None where they are missing or blank."""
    stripped = [None if pd.isna(value) else str(value).strip() or None for value in values]
    return pd.Series(stripped, index, dtype=object)


def split_name(name: str) -> str:
    """The name of a split in lower case: train, val or test for their synonyms."""
    return SPLIT_SYNONYMS.get(name.lower(), name.lower())


def image_folders(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folder with all folders below it, except those of masks; and those of masks."""
    tops = [str(folder), *(entry.path for entry in os.scandir(folder) if entry.is_symlink())]  # os.walk enters no links
    below = sorted(Path(parent, name) for top in tops for parent, names, _ in os.walk(top) for name in names)
    masks = [p for p in below if any(word in p.name.lower() for word in MASK_WORDS)]
    return [folder, *(p for p in below if p not in masks)], masks


def images_in(folder: Path) -> list[Path]:
    """The images directly in a folder."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _by_stem(folders: Sequence[Path]) -> dict[str, str]:
    """The images in folders by file name without suffix; the first folder wins. Tables hold no names but UTF-8."""
    images = [path for folder in folders for path in images_in(folder) if readable(str(path)) == str(path)]
    return {path.stem: str(path) for path in reversed(images)}


def _find(given: str, folder: Path, files: dict[str, str]) -> str | None:
    """The path of an image given by its id, file name or path relative to the folder."""
    path = folder / given
    if given not in files and path.is_file():
        return str(path.absolute())
    if path.parent != folder:
        return None  # an image of the same name in another folder may show another lesion
    return files.get(given) or files.get(path.stem)
