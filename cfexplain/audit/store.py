"""The folder of an audit: every row exactly once, whenever the process that writes it is killed.

`rows/rows.jsonl` has one JSON object per line, appended as items complete; of several with one key the last one counts,
and a line cut off by a kill is skipped. `cases/` has the files of each, complete before the row is written;
`audit.json` the settings. `rows/part-0.parquet` is the table, written when the audit ends.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from cfexplain.audit.row import COLUMNS, FAILED, flat
from cfexplain.audit.settings import check_same
from cfexplain.audit.worker import Result
from cfexplain.images import write_whole

KEY = ["image_id", "classifier", "asked"]
ROWS, TABLE = "rows/rows.jsonl", "rows/part-0.parquet"
CHUNK = 10_000  # Rows decoded at a time: as Python objects they take ten times the memory of a table.


@contextmanager
def writing(folder: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Be the folder's only writer: compare the settings, delete unfinished cases, and write the table at the end.

    Raises a ValueError where another process writes, or where other things are or an audit with other settings is.
    """
    rows, cases = folder / "rows", folder / "cases"
    rows.mkdir(parents=True, exist_ok=True)
    cases.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"another audit writes to {folder} now: wait for it, or use another") from None
        if (folder / "audit.json").exists():
            check_same(settings, json.loads((folder / "audit.json").read_text()), folder)
        elif any(rows.iterdir()) or any(cases.iterdir()):
            raise ValueError(f"{folder} holds rows or cases that are no audit's: name another folder")
        write_whole(folder / "audit.json", (json.dumps(settings, indent=1) + "\n").encode())
        for name in {case.name for case in cases.iterdir() if case.is_dir()} - set(read_rows(folder)["case"]):
            shutil.rmtree(cases / name)
        try:
            yield
        finally:
            table = BytesIO()
            read_rows(folder).to_parquet(table)
            write_whole(folder / TABLE, table.getvalue())


def done(folder: Path) -> set[tuple[str, str, str]]:
    """Image, target and classifier of each row; failed ones do not count, since the cause may be gone."""
    rows = read_rows(folder)
    rows = rows[rows["status"] != FAILED]
    return set(zip(rows["image_id"], rows["asked"], rows["classifier"], strict=True))


def add(folder: Path, results: Sequence[Result]) -> None:
    """Write the files of each, then the rows."""
    for row, files in results:
        for name, content in files.items():
            path = folder / "cases" / str(row["case"]) / name
            path.parent.mkdir(exist_ok=True)
            write_whole(path, content)
    with (folder / ROWS).open("ab") as file:
        # A line begins with its line break, which also ends one that was cut off.
        file.write(b"".join(b"\n" + msgspec.json.encode(flat(row)) for row, _ in results))


def read_rows(folder: Path) -> pd.DataFrame:
    """All rows of an audit, finished or not, of this layout or an earlier one, sorted by image, classifier, target."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if (folder / ROWS).exists():
        lines = (folder / ROWS).read_bytes().split(b"\n")
        tables = [_table(lines[i : i + CHUNK]) for i in range(0, len(lines), CHUNK)]
    else:
        tables = [pq.read_table(part) for part in sorted((folder / "rows").glob("part-*.parquet"))]
    if not sum(map(len, tables)):
        return pd.DataFrame(columns=[column.name for column in COLUMNS if "*" not in column.name])
    rows: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
    return rows.drop_duplicates(KEY, keep="last").sort_values(KEY, kind="stable", ignore_index=True)


def _table(lines: Sequence[bytes]) -> Any:
    """Complete lines as a table, with types that follow from the names, so that tables with empty columns fit."""
    import pyarrow as pa

    records: list[dict[str, Any]] = []
    for line in lines:
        with suppress(msgspec.DecodeError):
            records.append(msgspec.json.decode(line))
    names = dict.fromkeys(name for record in records for name in record)
    types = [(name, next(c.type for c in COLUMNS if fnmatchcase(name, c.name))) for name in names]
    return pa.Table.from_pylist(records, pa.schema(types))
