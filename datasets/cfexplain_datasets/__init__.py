"""Lesion data sets: readers of the archive's layouts, splits, checks, augmentation, synthetic lesions."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfexplain_datasets.report import DataError as DataError

if TYPE_CHECKING:
    from cfexplain_datasets.lesion import Lesion as Lesion
    from cfexplain_datasets.table import LesionTable as LesionTable

READERS = ("ham10000", "isic2016", "isic2017", "isic2019", "isic2020", "csv", "folder")


def open_dataset(name: str, data: str | Path) -> Any:
    """Open the data set at a path by the name of its reader.

    Args:
        name: one of `READERS`, "auto" for the first that recognises the folder, or "module:function" of your own.
        data: the folder (for csv: the table).

    Raises:
        DataError: there is no such reader, or it does not find its data.
    """
    if name == "auto":
        return _recognise(Path(data))
    if ":" in name:
        return _own(name)(data)
    if not Path(data).exists():
        raise DataError(f"there is no folder or table {data}{_fetched(name)}")
    if name not in (*READERS, "csvfile"):
        known = ", ".join(READERS)
        raise DataError(f"there is no data set reader {name}: use one of {known}, auto, or module:function")
    return _reader(name).read(data)


def _own(name: str) -> Any:
    """A reader of the user's own."""
    module, _, function = name.partition(":")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise DataError(f"{name} is not the module:function of a reader ({error})") from error


def _reader(name: str) -> Any:
    return import_module(f"{__name__}.{'csvfile' if name == 'csv' else name}")


def _fetched(name: str) -> str:
    """How to fetch a data set of the archive."""
    command = getattr(_reader(name), "FETCH", "") if name in READERS else ""
    return f"; fetch it with the isic command-line tool: {command}" if command else ""


def _recognise(data: Path) -> Any:
    if not data.exists():
        raise DataError(f"there is no folder or table {data}{_fetched('ham10000')} (or name another reader)")
    reasons = []
    for name in ("csv",) if data.is_file() else READERS:
        try:
            found = open_dataset(name, data)
        except DataError as error:
            reasons.append(f"{name}: {error}")
            continue
        if name == "folder" and not any(label >= 0 for label in found.labels) and any(data.glob("*.csv")):
            break  # the pictures alone, without a word of the labels that the table may hold
        return found
    raise DataError(
        f"no reader recognises {data}:\n  " + "\n  ".join(reasons)
        + "\nname the reader `folder` to use pictures without the table beside them"
    )


_HOME = {"Lesion": "lesion", "LesionTable": "table"}
__all__ = ["READERS", "DataError", "Lesion", "LesionTable", "open_dataset"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
