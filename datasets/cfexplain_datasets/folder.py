"""A plain tree with one folder a class, or a folder of pictures without labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cfexplain.images import SUFFIXES, readable
from cfexplain_datasets.report import DataError, Report
from cfexplain_datasets.table import LesionTable, split_named

MASKS = ("mask", "segmentation")
"""Folders whose names begin so hold no class."""


def read(folder: str | Path) -> LesionTable:
    """Read `DIR/<class>/*.jpg`, `DIR/{train,val,test}/<class>/*.jpg` with splits, or `DIR/*.jpg` without labels.

    Splits may have their longer names (training, validation, testing), and folders of masks are passed over.
    The id is the path below the folder without its suffix; each picture counts as a lesion of its own.

    Raises:
        DataError: there are neither class folders with pictures nor pictures.
    """
    folder = Path(folder)
    loose = _pictures(folder)
    if loose and not any(p.is_dir() and _pictures(p) for p in folder.iterdir()):
        return _table([{"id": p.stem, "label": None, "split": None, "path": str(p)} for p in loose])
    named = [(split_named(p.name), p) for p in sorted(folder.iterdir()) if p.is_dir()]
    split_roots: list[tuple[str | None, Path]] = [(s, p) for s, p in named if s in ("train", "val", "test")]
    roots = split_roots or [(None, folder)]
    rows = [
        {"id": str(path.relative_to(folder).with_suffix("")), "label": kind.name, "split": split, "path": str(path)}
        for split, root in roots
        for kind in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.lower().startswith((".", *MASKS)))
        for path in _pictures(kind)
    ]
    if not rows or len({r["label"] for r in rows}) < 2:
        raise DataError(f"{folder} holds no two class folders with pictures: make DIR/<class>/<picture>")
    return _table(rows)


def _pictures(folder: Path) -> list[Path]:
    """The pictures right in a folder."""
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in there if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _table(rows: list[dict[str, str | None]]) -> LesionTable:
    odd = {str(row["path"]): None for row in rows if readable(str(row["path"])) != row["path"]}
    report = Report()
    report.add("pictures whose names are no UTF-8", odd, "left out: rename them")
    table = pd.DataFrame([row for row in rows if row["path"] not in odd])
    if table.empty:
        raise DataError(f"no picture has a path that is UTF-8 (the first is {readable(next(iter(odd)))}): rename them")
    report.add("pictures whose name another picture has", table.loc[table["id"].duplicated(), "id"], "left out")
    table = table[~table["id"].duplicated()].assign(mask_path=None)
    table["lesion_id"] = table["id"]
    columns = ["label", "lesion_id", "split", "path", "mask_path"]
    classes = tuple(sorted(set(table["label"].dropna())))
    return LesionTable(classes, table.set_index("id")[columns], report, "folder")
