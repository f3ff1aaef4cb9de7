"""Any table with a column of images and a column of labels."""

from collections.abc import Sequence
from pathlib import Path

from cfexplain.images import SUFFIXES
from cfexplain_datasets.layout import IMAGE_COLUMNS, LABEL_COLUMNS, MASK_COLUMNS, read_table
from cfexplain_datasets.report import DataError
from cfexplain_datasets.table import LesionTable, intake


def read(table: str | Path) -> LesionTable:
    """Read a CSV file, or a folder with exactly one, whose images lie beside it or in a folder below.

    Images (by file name, path relative to the table, or id), labels and masks are in the first of `IMAGE_COLUMNS`,
    `LABEL_COLUMNS` and `MASK_COLUMNS` that exists. The classes are the sorted labels.

    Raises:
        DataError: the file or the columns are missing.
    """
    path = Path(table)
    tables = [path] if path.is_file() else sorted(path.glob("*.csv"))
    if len(tables) != 1:
        raise DataError(f"{path} is neither a CSV file nor a folder with exactly one (it has {len(tables)})")
    rows = read_table(tables[0])
    kinds = (IMAGE_COLUMNS, LABEL_COLUMNS, MASK_COLUMNS)
    image, label, mask = (next((name for name in names if name in rows), None) for names in kinds)
    if image is None or label is None:
        raise DataError(f"{tables[0]} needs a column of images and one of labels; it has {', '.join(rows.columns)}")
    given = [str(name) for name in rows[image]]
    rows = rows.assign(id=_ids(given), path=given, label=rows[label], mask_path=rows[mask] if mask else None)
    rows = rows.drop(columns=list({image, label, mask} - {None, "id", "path", "label", "mask_path"}))
    return intake(rows, tables[0].parent, name=tables[0].stem)


def _ids(given: Sequence[str]) -> Sequence[str]:
    """File names without suffix; if several folders have a file of the same name, paths without suffix."""
    paths = [str(Path(name).with_suffix("")) if Path(name).suffix.lower() in SUFFIXES else name for name in given]
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(set(paths)) else paths
