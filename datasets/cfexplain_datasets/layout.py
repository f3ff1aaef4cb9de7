"""How public lesion data sets lie on disk: tables of labels, and folders of images and masks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cfexplain_datasets.report import DataError
from cfexplain_datasets.table import LesionTable, intake

ID_COLUMNS = ("image_id", "image", "image_name", "isic_id")
IMAGE_COLUMNS = ("image", "path", "file", "filename", "image_id", "isic_id", "image_name", "id")
LABEL_COLUMNS = ("label", "dx", "diagnosis", "class", "target", "benign_malignant")
MASK_COLUMNS = ("mask_path", "mask", "mask_file")
# Recognised in any capitalisation, and read as text so that the name 007 keeps its zeros.
KNOWN_COLUMNS = {*IMAGE_COLUMNS, *LABEL_COLUMNS, *MASK_COLUMNS, "lesion_id", "split"}
SYNONYMS = {
    "gender": "sex",
    "age_approx": "age",
    "age_approximate": "age",
    "anatom_site_general": "localization",
    "anatom_site_general_challenge": "localization",
}
SPLIT_WORDS = {"Training": "train", "Validation": "val", "Test": "test"}  # in the challenges' file names


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file separated by commas, semicolons or tabs, with known columns renamed and unnamed ones dropped."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline()
        separator = max(",;\t", key=first.count)
        header = pd.read_csv(path, sep=separator, nrows=0).columns
        text = {column: str for column in header if column.strip().lower() in KNOWN_COLUMNS}
        rows = pd.read_csv(path, sep=separator, dtype=text)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a table ({error}): fetch it again") from None
    rows = rows.loc[:, ~rows.columns.str.startswith("Unnamed")]
    names = {column: SYNONYMS.get(column, column) for column in header} | {c: c.strip().lower() for c in text}
    return rows.rename(columns={old: new for old, new in names.items() if new not in rows})


def load_table(path: Path) -> pd.DataFrame:
    """Read a table of the archive, with the column of image names as `id`."""
    rows = read_table(path)
    return rows.rename(columns={next((name for name in ID_COLUMNS if name in rows), "id"): "id"})


def one_hot(rows: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Replace one-hot class columns (in any capitalisation) by a column `label`; rows without a 1 are unlabelled."""
    columns = {column.lower(): column for column in rows.columns}
    present = {columns[name.lower()]: name for name in classes if name.lower() in columns}
    if not present:
        return rows
    try:
        scores = rows[list(present)].astype(float)
    except ValueError as error:
        raise DataError(f"the columns {', '.join(present)} are not 0 and 1 ({error})") from None
    label = scores.idxmax(axis=1).map(present).where(scores.max(axis=1) > 0)
    return rows.drop(columns=[*present, "UNK"], errors="ignore").assign(label=label)


def files(folder: Path, pattern: str) -> list[Path]:
    """The files of a pattern in the folder or one level below it."""
    return sorted(p for p in (*folder.glob(pattern), *folder.glob(f"*/{pattern}")) if p.is_file())


@dataclass(frozen=True)
class Layout:
    """A public data set as it lies on disk; calling the layout reads a folder."""

    name: str
    classes: tuple[str, ...]
    fetch: str  # command that downloads the images
    load: Callable[[Path, Path], pd.DataFrame]  # (table, folder) -> rows with the columns id and label; also of details
    challenge: str = ""  # file pattern of a challenge's tables, one for each split
    details: str = ""  # file pattern of further tables, which are joined to those of the challenge by the id
    tables: tuple[str, ...] = ()  # patterns in the order of preference, by default that of the challenge alone
    finish: Callable[[LesionTable, Path], LesionTable] | None = None  # (data set, folder) -> data set, at the end

    def __call__(self, folder: str | Path) -> LesionTable:
        """Read the data set; a `DataError` says which tables or images are missing."""
        folder = Path(folder)
        rows = self._rows(folder)
        if "age" in rows:
            rows["age"] = pd.to_numeric(rows["age"], errors="coerce")
        dataset = intake(rows, folder, self.classes, name=self.name, fetch=self.fetch)
        return self.finish(dataset, folder) if self.finish else dataset

    def _rows(self, folder: Path) -> pd.DataFrame:
        patterns = self.tables or (self.challenge,)
        pattern = next((pattern for pattern in patterns if files(folder, pattern)), None)
        if pattern is None:
            raise DataError(
                f"{folder} holds no {self.name.upper()} table ({' or '.join(patterns)}); fetch images with the isic "
                f"command-line tool: {self.fetch}, and the challenges' tables from challenge.isic-archive.com/data"
            )
        first, *others = files(folder, pattern)
        rows = self.load(first, folder)
        if pattern == self.challenge and others:
            parts = [self.load(path, folder).assign(split=split_of(path)) for path in (first, *others)]
            rows = pd.concat(parts, ignore_index=True)
        if not {"id", "label"} <= set(rows) or not rows["label"].isin(self.classes).any():
            needed = f"image names ({', '.join(ID_COLUMNS)}) and labels ({', '.join(self.classes)})"
            raise DataError(f"{first} is not {self.name.upper()}: it needs columns of {needed}")
        if pattern == self.challenge and self.details and (paths := files(folder, self.details)):
            details = pd.concat([self.load(path, folder) for path in paths]).drop_duplicates("id")
            rows = rows.merge(details, on="id", how="left")
        return rows


def split_of(path: Path) -> str | None:
    """The split that the name of a challenge's file mentions."""
    return next((split for word, split in SPLIT_WORDS.items() if word in path.name), None)
