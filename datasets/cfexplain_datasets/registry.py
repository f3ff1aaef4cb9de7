"""Readers by name: the built-in ones, and those that other packages register as entry points."""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from pkgutil import iter_modules

from cfexplain_datasets import readers as builtin
from cfexplain_datasets.report import DataError
from cfexplain_datasets.table import LesionTable

GROUP = "cfexplain.readers"  # each entry point is a function that takes a path and returns a `LesionTable`
GENERIC = ("csv", "folder")  # readers that accept almost any table or folder


def registered() -> dict[str, metadata.EntryPoint]:
    """All readers in the order in which "auto" tries them: by name, with the generic ones last."""
    # A source checkout that was not reinstalled has no metadata of its own readers: find those as modules.
    modules = (module.name for module in iter_modules(builtin.__path__))
    found = {name: metadata.EntryPoint(name, f"{builtin.__name__}.{name}:read", GROUP) for name in modules}
    found |= {point.name: point for point in metadata.entry_points(group=GROUP)}
    return dict(sorted(found.items(), key=lambda item: (item[0] in GENERIC, item[0])))


READERS = tuple(registered())


def open_dataset(name: str, data: str | Path) -> LesionTable:
    """Open the data set at a path: a folder, for csv also a file.

    The name is one of `READERS`, "auto" for the first that recognises the data, or "module:function" of your own.

    Raises:
        DataError: there is no such reader, or it does not find its data.
    """
    path, readers = Path(data), registered()
    if name == "auto" and path.exists():
        return _recognise(path)
    name = {"auto": "ham10000", "csvfile": "csv"}.get(name, name)  # csvfile is the former name
    if ":" not in name and name not in readers:
        raise DataError(
            f"there is no data set reader {name}: use one of {', '.join(readers)}, auto, or module:function"
        )
    try:
        reader: Callable[[str | Path], LesionTable] = readers.get(name, metadata.EntryPoint(name, name, GROUP)).load()
    except (ImportError, AttributeError) as error:
        raise DataError(f"{name} is not the module:function of a reader ({error})") from error
    if ":" not in name and not path.exists():
        fetch = f"; fetch it with the isic command-line tool: {reader.fetch}" if hasattr(reader, "fetch") else ""
        raise DataError(f"there is no folder or table {data}{fetch}")
    return reader(data)


def _recognise(path: Path) -> LesionTable:
    reasons = [f"no reader recognises {path}:"]
    for name in ("csv",) if path.is_file() else registered():
        try:
            dataset = open_dataset(name, path)
        except DataError as error:
            reasons.append(f"{name}: {error}")
            continue
        if name != "folder" or dataset.classes or not any(path.glob("*.csv")):
            return dataset
        # Images without labels beside a table that no reader understands: do not ignore the table silently.
    raise DataError("\n  ".join(reasons) + "\nname the reader `folder` to use the images without the table beside them")
