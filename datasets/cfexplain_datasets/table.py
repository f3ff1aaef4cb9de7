"""The data set that every reader makes: a table of images and the pictures behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor
from torch.utils.data import Dataset

from cfexplain.images import ImageError, load_mask, load_picture
from cfexplain_datasets.lesion import Lesion
from cfexplain_datasets.report import DataError, Report

OWN_COLUMNS = ("label", "lesion_id", "split", "path", "mask_path")


@dataclass(frozen=True, eq=False)
class LesionTable(Dataset[Lesion]):
    """Lesion images on disk: row i of `table` describes sample i.

    Attributes:
        classes: names in the order of the labels.
        table: indexed by image id, with the columns label (class name or None), lesion_id, split (train, val,
            test or None), path and mask_path (None without a mask), and all other columns of the source.
        report: what the intake found and did.
        name: of the data set.
    """

    classes: tuple[str, ...]
    table: pd.DataFrame
    report: Report = field(default_factory=Report)
    name: str = ""

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Lesion:
        """Read one sample; a mask that is empty or damaged counts as none (`readable()` reports it).

        Raises:
            ImageError: the picture is damaged; `readable()` leaves such samples out beforehand.
        """
        row = self.table.iloc[index]
        known = isinstance(row["label"], str)
        return Lesion(
            id=str(self.table.index[index]),
            image=load_picture(row["path"]),
            label=self.classes.index(row["label"]) if known else None,
            mask=_mask(row["mask_path"]),
            lesion_id=str(row["lesion_id"]),
            metadata={str(k): v for k, v in row.items() if k not in OWN_COLUMNS},
        )

    def __iter__(self) -> Iterator[Lesion]:
        return (self[i] for i in range(len(self)))

    @property
    def labels(self) -> list[int]:
        """Label of every sample, -1 where it is not known."""
        index = {name: i for i, name in enumerate(self.classes)}
        return [index.get(name, -1) for name in self.table["label"]]

    def subset(self, split: str) -> LesionTable:
        """The samples of one split."""
        return replace(self, table=self.table[self.table["split"] == split])

    def select(self, ids: Iterable[str]) -> LesionTable:
        """The samples of these ids, in this order."""
        return replace(self, table=self.table.loc[list(ids)])

    def readable(self, progress: Callable[[int], object] | None = None) -> LesionTable:
        """The samples whose picture and mask can be read to the end; the others are reported and left out.

        Reads every file once, so that a training never meets a damaged one at image 9,000.
        """
        damaged = []
        for i in range(len(self)):
            try:
                self[i]
            except ImageError:
                damaged.append(str(self.table.index[i]))
            if progress is not None:
                progress(i)
        report = Report(list(self.report.findings))
        report.add("damaged or unreadable images", damaged, "left out")
        return replace(self, table=self.table.drop(index=damaged), report=report)


def intake(
    rows: pd.DataFrame,
    folders: Sequence[Path],
    classes: Sequence[str],
    *,
    name: str,
    mask_folders: Sequence[Path] = (),
    fetch: str = "",
) -> LesionTable:
    """Make a data set of a table of ids and labels and the folders that hold the pictures.

    Left out and reported: repeated ids, foreign rows whose picture is not in the folders, and rows whose label is
    not a class (an empty label is an unlabelled sample). Pictures without a row are reported too.

    Args:
        rows: with the columns id and label, and optionally lesion_id, split, path and mask_path (file names, or
            absolute paths); everything else is metadata.
        folders: where the pictures lie, searched in order.
        classes: names in the order of the labels.
        name: of the data set.
        mask_folders: where masks lie, named as the picture or with `_segmentation` or `_Segmentation` added.
        fetch: command that fetches the pictures, for the message where there are none.

    Raises:
        DataError: not one picture was found, or none has a known class.
    """
    report = Report()
    rows = rows.assign(id=rows["id"].astype(str))
    rows = _drop(rows, rows["id"].duplicated(), report, "rows with an id seen before", "left out, the first is kept")
    pictures = _files(folders)
    given = rows["path"] if "path" in rows else rows["id"]
    rows["path"] = pd.Series([_picture(str(p), pictures) for p in given], rows.index, dtype=object)
    named = len(rows)
    rows = _drop(rows, rows["path"].isna(), report, "rows without a picture in the folders")
    if rows.empty:
        advice = f"fetch them with the isic command-line tool: {fetch}" if fetch else "put table and pictures together"
        raise DataError(f"none of the {named} pictures that the table names is here; {advice}")
    rows["label"] = pd.Series([_label(v) for v in rows["label"]], rows.index, dtype=object)
    rows = _drop(rows, rows["label"].notna() & ~rows["label"].isin(list(classes)), report, "rows of unknown classes")
    if rows.empty:
        raise DataError(f"no row has a label of {name}: the classes are {', '.join(classes)}")
    table = _ordered(rows, mask_folders, report)
    used = {str(Path(path).resolve()) for path in (*table["path"], *table["mask_path"].dropna())}
    unnamed = sorted(path for path in pictures.values() if str(Path(path).resolve()) not in used)
    report.add("pictures that the table does not name", unnamed, "not used")
    other = table.index[table["split"].notna() & ~table["split"].isin(("train", "val", "test"))]
    report.add("images of a split that is none of train, val, test", list(other), "counted as having none")
    return LesionTable(tuple(classes), table, report, name)


def _ordered(rows: pd.DataFrame, mask_folders: Sequence[Path], report: Report) -> pd.DataFrame:
    """The rows by id, with the columns that every table has in front."""
    rows = rows.assign(mask_path=pd.Series(_masks(rows, mask_folders, report), rows.index, dtype=object))
    given = rows["split"] if "split" in rows else [None] * len(rows)
    rows["split"] = pd.Series([split_named(v) for v in given], rows.index, dtype=object)
    lesions = rows["lesion_id"] if "lesion_id" in rows else rows["id"]
    rows["lesion_id"] = lesions.where(lesions.notna(), rows["id"]).astype(str)
    table = rows.set_index("id")
    return table[[*OWN_COLUMNS, *(c for c in table if c not in OWN_COLUMNS)]]


def _picture(given: str, pictures: dict[str, str]) -> str | None:
    """The picture of an id, a file name or the path of a file."""
    if Path(given).is_absolute() and Path(given).is_file():
        return given
    if Path(given).parent != Path():
        return None  # the file of this folder is not here, and another folder's may show another lesion
    return pictures.get(given) or pictures.get(Path(given).stem)


SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


def split_named(value: object) -> str | None:
    """train, val or test by any of their usual names; another name stays as it is."""
    name = _label(value)
    return name if name is None else SPLIT_NAMES.get(name.lower(), name.lower())


def _label(value: object) -> str | None:
    return None if pd.isna(value) or str(value).strip() == "" else str(value).strip()  # type: ignore[call-overload]


def _mask(path: object) -> Tensor | None:
    """The mask at a path; None where there is none that can be used."""
    try:
        return load_mask(path) if isinstance(path, str) else None
    except ImageError:
        return None


def _column(values: list[str | None], rows: pd.DataFrame) -> pd.Series[Any]:
    """A column in which a missing value stays None."""
    return pd.Series(values, index=rows.index, dtype=object)


def _drop(rows: pd.DataFrame, bad: pd.Series[bool], report: Report, what: str, done: str = "left out") -> pd.DataFrame:
    report.add(what, rows.loc[bad, "id"], done)
    return rows[~bad].copy()


def _files(folders: Sequence[Path]) -> dict[str, str]:
    """Pictures by stem; the first folder wins."""
    from cfexplain.images import SUFFIXES

    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                found.setdefault(path.stem, str(path))
    return found


def _masks(rows: pd.DataFrame, folders: Sequence[Path], report: Report) -> list[str | None]:
    """The masks that the table names, else those that are named as the pictures."""
    files = _files(folders)
    names = ("{}_segmentation", "{}_Segmentation", "{}")
    by_name = [next((files[n.format(i)] for n in names if n.format(i) in files), None) for i in rows["id"]]
    if "mask_path" not in rows:
        return by_name
    named = [_label(v) for v in rows["mask_path"]]
    there = [None if v is None else _picture(v, files) for v in named]
    gone = [i for i, v, found in zip(rows["id"], named, there, strict=True) if v is not None and found is None]
    report.add("masks that the table names and that are not there", gone, "counted as none")
    return [t if v is not None else other for v, t, other in zip(named, there, by_name, strict=True)]
