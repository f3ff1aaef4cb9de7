"""The data set that every reader returns: a table of images on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils.data import Dataset

from cfexplain.images import SUFFIXES, ImageError, load_mask, load_picture
from cfexplain_datasets.lesion import Lesion
from cfexplain_datasets.report import DataError, Report

SPLITS = ("train", "val", "test")
SPLIT_SYNONYMS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
COLUMNS = ("label", "lesion_id", "split", "path", "mask_path")


@dataclass(frozen=True, eq=False)
class LesionTable(Dataset[Lesion]):
    """Lesion images on disk: row i of `table` describes sample i.

    Attributes:
        classes: names in the order of the labels.
        table: indexed by image id, with the columns label (class name or None), lesion_id, split (train, val,
            test or None), path and mask_path (None without a mask), and all other columns of the source as metadata.
        report: what the reader found and did.
        name: of the data set.
    """

    classes: tuple[str, ...]
    table: pd.DataFrame
    report: Report = field(default_factory=Report)
    name: str = ""

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Lesion:
        """Read one sample; a mask that is empty or damaged counts as none.

        Raises:
            ImageError: the image is damaged; `readable()` leaves such samples out.
        """
        row = self.table.iloc[index]
        image, mask = load_picture(row["path"]), None
        if isinstance(row["mask_path"], str):
            with suppress(ImageError):
                mask = load_mask(row["mask_path"])
        return Lesion(
            id=str(self.table.index[index]),
            image=image,
            label=self.classes.index(row["label"]) if isinstance(row["label"], str) else None,
            mask=mask,
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
        damaged = []
        for i, name in enumerate(self.table.index):
            try:
                self[i]
            except ImageError:
                damaged.append(name)
        return self.without("damaged or unreadable images", damaged)


def intake(
    rows: pd.DataFrame,
    folders: Sequence[Path],
    classes: Sequence[str] = (),
    *,
    name: str,
    mask_folders: Sequence[Path] = (),
    fetch: str = "",
) -> LesionTable:
    """Match a table of ids and labels with the images in folders.

    Left out and reported: repeated ids, rows without an image, and rows whose label is not a class (an empty label is
    an unlabelled sample). Images without a row are reported too.

    Args:
        rows: with the columns id and label, and optionally lesion_id, split, path and mask_path (file names or
            absolute paths); all other columns are metadata.
        folders: of images, searched in order.
        classes: names in the order of the labels; by default the sorted labels of the table.
        name: of the data set.
        mask_folders: of masks, named as the image or with `_segmentation` or `_Segmentation` added.
        fetch: command that downloads the images, for the error message.

    Raises:
        DataError: no image was found, or none has a known class.
    """
    report, files, masks = Report(), _images(folders), _images(mask_folders)
    rows = rows.assign(**{column: None for column in COLUMNS if column not in rows})
    given = rows["path"].where(rows["path"].notna(), rows["id"])
    paths = texts([_find(str(path), files) for path in given], rows.index)
    rows = rows.assign(id=rows["id"].astype(str), label=texts(rows["label"], rows.index), path=paths)
    classes = tuple(classes or sorted(rows["label"].dropna().unique()))
    repeated = rows["id"].duplicated()
    missing = rows["path"].isna() & ~repeated
    unknown = rows["label"].notna() & ~rows["label"].isin(classes) & ~repeated & ~missing
    report.add("rows with an id seen before", rows["id"][repeated], "left out, the first is kept")
    report.add("rows without a picture in the folders", rows["id"][missing], "left out")
    report.add("rows of unknown classes", rows["id"][unknown], "left out")
    if (repeated | missing).all():
        advice = f"fetch them with the isic command-line tool: {fetch}" if fetch else "put table and pictures together"
        raise DataError(f"none of the {missing.sum()} pictures that the table names is here; {advice}")
    rows = rows[~(repeated | missing | unknown)]
    if rows.empty:
        raise DataError(f"no row has a label of {name}: the classes are {', '.join(classes)}")
    named = texts(rows["mask_path"], rows.index)
    rows = rows.assign(
        lesion_id=rows["lesion_id"].where(rows["lesion_id"].notna(), rows["id"]).astype(str),
        split=texts([split and split_name(split) for split in texts(rows["split"], rows.index)], rows.index),
        mask_path=texts([_find_mask(*pair, masks) for pair in zip(rows["id"], named, strict=True)], rows.index),
    )
    lost = rows["id"][named.notna() & rows["mask_path"].isna()]
    report.add("masks that the table names and that are not there", lost, "counted as none")
    used = {Path(path).resolve() for path in (*rows["path"], *rows["mask_path"].dropna())}
    unused = sorted(path for path in files.values() if Path(path).resolve() not in used)
    report.add("pictures that the table does not name", unused, "not used")
    other = rows["id"][rows["split"].notna() & ~rows["split"].isin(SPLITS)]
    report.add("images of a split that is none of train, val, test", other, "counted as having none")
    table = rows.set_index("id")
    return LesionTable(classes, table[[*COLUMNS, *(c for c in table if c not in COLUMNS)]], report, name)


def texts(values: Iterable[Any], index: pd.Index[Any]) -> pd.Series[Any]:
    """A column of values as stripped strings, None where they are missing or blank."""
    stripped = [None if pd.isna(value) else str(value).strip() or None for value in values]
    return pd.Series(stripped, index, dtype=object)


def split_name(name: str) -> str:
    """The name of a split in lower case: train, val or test for their synonyms."""
    return SPLIT_SYNONYMS.get(name.lower(), name.lower())


def _images(folders: Sequence[Path]) -> dict[str, str]:
    """Paths of images by file name without suffix; the first folder wins."""
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    images = [path for path in paths if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    return {path.stem: str(path) for path in reversed(images)}


def _find(given: str, files: dict[str, str]) -> str | None:
    """The path of an image given by its id, file name or absolute path."""
    if Path(given).is_absolute() and Path(given).is_file():
        return given
    if Path(given).parent != Path():
        return None  # an image of the same name in another folder may show another lesion
    return files.get(given) or files.get(Path(given).stem)


def _find_mask(image: str, given: str | None, files: dict[str, str]) -> str | None:
    """The path of the mask that the table names, otherwise of the one that is named as the image."""
    if given is not None:
        return _find(given, files)
    names = (f"{image}_segmentation", f"{image}_Segmentation", image)
    return next((files[name] for name in names if name in files), None)
