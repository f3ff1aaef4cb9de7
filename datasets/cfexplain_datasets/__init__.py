"""Lesion data sets: readers of the archive's layouts, splits, checks, augmentation, synthetic lesions."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfexplain_datasets.report import DataError as DataError

if TYPE_CHECKING:
    from cfexplain_datasets.lesion import Lesion as Lesion
    from cfexplain_datasets.table import LesionTable as LesionTable

READERS = ("ham10000", "isic2016", "isic2017", "isic2019", "isic2020", "folder", "csvfile")


def open_dataset(name: str, data: str | Path) -> Any:
    """Open the data set at a path by the name of its reader.

    Args:
        name: one of `READERS`, "auto" for the first that recognises the folder, or "module:function" of your own.
        data: the folder (for csvfile: the table).

    Raises:
        DataError: there is no such reader, or it does not find its data.
    """
    if name == "auto":
        return _recognise(Path(data))
    if ":" in name:
        module, _, function = name.partition(":")
        return getattr(import_module(module), function)(data)
    if name not in READERS:
        raise DataError(f"there is no data set reader {name}: use one of {', '.join(READERS)}, auto, or module:function")
    return import_module(f"{__name__}.{name}").read(data)


def _recognise(data: Path) -> Any:
    if not data.exists():
        raise DataError(f"there is no folder or table {data}")
    order = ("csvfile",) if data.is_file() else READERS
    reasons = []
    for name in order:
        try:
            return open_dataset(name, data)
        except DataError as error:
            reasons.append(f"{name}: {error}")
    raise DataError(f"no reader recognises {data}:\n  " + "\n  ".join(reasons))


_HOME = {"Lesion": "lesion", "LesionTable": "table"}
__all__ = ["READERS", "DataError", "Lesion", "LesionTable", "open_dataset"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
