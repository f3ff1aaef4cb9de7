"""A tree with one folder for each class, or a folder of images without labels."""

from pathlib import Path

import pandas as pd

from cfexplain.images import readable
from cfexplain_datasets.report import DataError
from cfexplain_datasets.table import SPLITS, LesionTable, images_in, intake, split_name

NO_CLASS = (".", "mask", "segmentation")  # how the names of folders begin that are not classes


def read(folder: str | Path) -> LesionTable:
    """Read `DIR/<class>/*.jpg`, `DIR/{train,val,test}/<class>/*.jpg` with splits, or `DIR/*.jpg` without labels.

    The id is the path below the folder without its suffix; each image counts as a lesion of its own.

    Raises:
        DataError: there are neither class folders with images nor images.
    """
    folder = Path(folder)
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    splits = [path for path in below if split_name(path.name) in SPLITS]
    rows: list[tuple[Path, str | None, str | None]] = [
        (path, kind.name, root.name if splits else None)
        for root in splits or [folder]
        for kind in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.lower().startswith(NO_CLASS))
        for path in images_in(kind)
    ]
    if images_in(folder) and not any(map(images_in, below)):
        rows = [(path, None, None) for path in images_in(folder)]
    elif len({label for _, label, _ in rows}) < 2:
        raise DataError(f"{folder} does not hold two class folders with images: make DIR/<class>/<image>")
    bad = [str(path) for path, _, _ in rows if readable(str(path)) != str(path)]
    if len(bad) == len(rows):
        raise DataError(f"no image has a path that is UTF-8 (the first is {readable(bad[0])}): rename them")
    table = pd.DataFrame([row for row in rows if str(row[0]) not in bad], columns=["path", "label", "split"])
    table["path"] = [str(path.relative_to(folder)) for path in table["path"]]
    table["id"] = [str(Path(path).with_suffix("")) for path in table["path"]]
    dataset = intake(table, folder, name="folder")
    return dataset.with_finding("images whose names are not UTF-8", bad, "left out: rename them", dataset.table)
