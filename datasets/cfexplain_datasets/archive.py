"""What the archive's layouts have in common: finding tables and picture folders, one-hot labels, headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cfexplain.images import SUFFIXES
from cfexplain_datasets.report import DataError

HEADERS = {
    "gender": "sex",
    "age_approx": "age",
    "age_approximate": "age",
    "anatom_site_general": "localization",
    "anatom_site_general_challenge": "localization",
}
"""The archive's changing headers and the one name that each has here."""


_NAMES = ("image_id", "image", "image_name", "isic_id", "lesion_id")


def first_file(folder: Path, patterns: Sequence[str], what: str, fetch: str) -> Path:
    """The first file in the folder, or one level below it, that matches a pattern.

    Raises:
        DataError: there is none; the message gives the command that fetches the data.
    """
    for pattern in patterns:
        found = sorted(p for p in (*folder.glob(pattern), *folder.glob(f"*/{pattern}")) if p.is_file())
        if found:
            return found[0]
    raise missing(folder, patterns, what, fetch)


def missing(folder: Path, patterns: Sequence[str], what: str, fetch: str) -> DataError:
    """There is no such table; the message gives the command that fetches the data."""
    wanted = " or ".join(patterns)
    return DataError(
        f"{folder} holds no {what} table ({wanted}); fetch pictures with the isic command-line tool: {fetch}, "
        "and the challenges' tables from challenge.isic-archive.com/data"
    )


SPLITS = (("train", "Training"), ("val", "Validation"), ("test", "Test"))
"""Splits and the words for them in the challenges' file names."""


def truths(folder: Path, pattern: str) -> pd.DataFrame | None:
    """All ground-truth tables of a pattern as one; where there are several, with their splits. None where is none."""
    tables = [(path, read_csv(path)) for path in all_files(folder, pattern)]
    if len(tables) < 2:
        return tables[0][1] if tables else None
    return pd.concat([rows.assign(split=split_of(path)) for path, rows in tables], ignore_index=True)


def split_of(path: Path) -> str | None:
    """The split that a file's name speaks of."""
    return next((split for split, word in SPLITS if word in path.name), None)


def all_files(folder: Path, pattern: str) -> list[Path]:
    """All files of a pattern in the folder or one level below it."""
    return sorted(p for p in (*folder.glob(pattern), *folder.glob(f"*/{pattern}")) if p.is_file())


def read_csv(path: Path, text: Sequence[str] = ()) -> pd.DataFrame:
    """A table with the archive's headers made one and its nameless columns dropped; `text` columns stay as written.

    Raises:
        DataError: the file is no table.
    """
    try:
        between = _separator(path)
        header = [str(c) for c in pd.read_csv(path, sep=between, nrows=0)]
        asked = {name.lower() for name in (*_NAMES, *text)}
        table = pd.read_csv(path, sep=between, dtype={c: str for c in header if c.strip().lower() in asked})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a table ({error}): fetch it again") from None
    table = table.loc[:, [c for c in table if not str(c).startswith("Unnamed")]]
    return table.rename(columns={k: v for k, v in HEADERS.items() if k in table and v not in table})


def _separator(path: Path) -> str:
    """Comma, semicolon or tab: what is most often in the first line."""
    with path.open(encoding="utf-8-sig") as file:
        first = file.readline()
    return max(",;\t", key=first.count)


def one_hot(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Replace one-hot class columns (any case) by a column `label`; rows without a 1 stay unlabelled."""
    columns = {c.lower(): c for c in table.columns}
    present = [columns[c.lower()] for c in classes if c.lower() in columns]
    if not present:
        raise DataError(f"the table has neither a dx column nor one-hot columns of {', '.join(classes)}")
    try:
        scores = table[present].astype(float)
    except ValueError as error:
        raise DataError(f"the columns {', '.join(present)} are not 0 and 1 ({error})") from None
    names = scores.idxmax(axis=1).astype(str).str.lower().where(scores.max(axis=1) > 0)
    spelled = {c.lower(): c for c in classes}
    return table.drop(columns=present).assign(label=names.map(spelled))


def picture_folders(folder: Path) -> tuple[list[Path], list[Path]]:
    """Folders that hold pictures and folders that hold masks, the folder itself included."""
    below = [folder, *sorted(p for p in (*folder.glob("*"), *folder.glob("*/*")) if p.is_dir())]
    holding = [p for p in below if any(f.suffix.lower() in SUFFIXES for f in p.iterdir())]
    words = ("mask", "segmentation", "part1_groundtruth")
    masks = [p for p in holding if p != folder and any(word in p.name.lower() for word in words)]
    return [p for p in holding if p not in masks], masks
