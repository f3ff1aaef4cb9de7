"""Where an audit's rows and cases are kept: each row once, whatever happens to the process that writes."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfexplain.audit.question import Plan
from cfexplain.audit.row import FAILED, Row
from cfexplain.images import write_whole

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TEXT = re.compile(
    r"image_id|target|classifier|asked|label|lesion_id|versions|status|error|source|probabilities|verdict|words|tone|"
    r"mask|case|meta\..*"
)
WHOLE = re.compile(r"seed|steps")
FLAG = re.compile(r"robust\..*|oracle\..*\.(counted|flipped)")
COMPACTED = 64
"""Single parts are joined by so many, so that a million rows do not make a million files."""

Key = tuple[str, str, str]


class Store:
    """The folder of an audit.

    `rows/part-FIRST-LAST.parquet` holds the rows that were written as number FIRST to LAST; `cases/` the files of
    each; `audit.json` the plan. A case is whole before its row is written, a part is written whole or not at all,
    and joined parts stand in for the single ones from the moment they are there: what a kill leaves of the single
    ones is deleted when the folder is opened next.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer; check or write the plan; clear what an earlier writer left half done.

        Raises:
            ValueError: another process writes here, or the folder's audit was planned otherwise.
        """
        (self.folder / "rows").mkdir(parents=True, exist_ok=True)
        (self.folder / "cases").mkdir(exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ValueError(f"another audit writes to {self.folder} now: wait for it, or use another") from None
            self._agree()
            self._clear()
            known = parts(self.folder)
            self._first = max((_range(part)[1] + 1 for part in known), default=0)
            self._small = list(takewhile(lambda part: _length(part) < COMPACTED, reversed(known)))[::-1]
            yield

    def done(self) -> set[Key]:
        """The questions that have a row."""
        import pyarrow.parquet as pq

        found: set[Key] = set()
        for part in parts(self.folder):
            table = pq.read_table(part, columns=["image_id", "asked", "classifier"])
            found.update(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
        return found

    def add(self, rows: Sequence[Row]) -> None:
        """Write the cases, then the rows as one part."""
        import pyarrow as pa

        for row in rows:
            if row.files:
                self._write_case(self.folder / "cases" / row.record["case"], row.files)
        table = pa.Table.from_pylist([dict(row.record) for row in rows], schema=schema([r.record for r in rows]))
        part = self._write(table, self._first, self._first + len(rows) - 1)
        self._first += len(rows)
        self._small = [*self._small, part] if _length(part) < COMPACTED else []
        self._compact()

    def _write_case(self, case: Path, files: Mapping[str, bytes]) -> None:
        case.mkdir(exist_ok=True)
        for name, content in files.items():
            write_whole(case / name, content)

    def _write(self, table: pa.Table, first: int, last: int) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        path = self.folder / "rows" / f"part-{first:08d}-{last:08d}.parquet"
        write_whole(path, sink.getvalue().to_pybytes())
        return path

    def _compact(self) -> None:
        """Join the last parts once there are `COMPACTED` small ones in a row."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        small = self._small
        if len(small) < COMPACTED:
            return
        tables = [pq.read_table(part) for part in small]
        joined = pa.concat_tables(tables, promote_options="default")
        self._write(joined, _range(small[0])[0], _range(small[-1])[1])
        for part in small:
            part.unlink()
        self._small = []

    def _agree(self) -> None:
        path = self.folder / "audit.json"
        if path.exists():
            self.plan.refuse_other(json.loads(path.read_text()), str(self.folder))
        elif any((self.folder / "rows").iterdir()) or any((self.folder / "cases").iterdir()):
            raise ValueError(f"{self.folder} holds rows or cases that are no audit's: name another folder")
        else:
            write_whole(path, (json.dumps(self.plan.to_dict(), indent=1) + "\n").encode())

    def _clear(self) -> None:
        """Delete parts that a joined one stands in for, unfinished files, failed rows, and cases without a row.

        A question that failed is asked again: the disk or the machine that was gone may be back.
        """
        import pyarrow.parquet as pq

        kept = set(parts(self.folder))
        for path in (self.folder / "rows").iterdir():
            if path not in kept:
                path.unlink()
        for path in self.folder.glob(".*.part"):
            path.unlink()
        for part in kept:
            _drop_failed(part)
        kept = set(parts(self.folder))
        known = {case for part in kept for case in pq.read_table(part, columns=["case"])["case"].to_pylist()}
        for path in (self.folder / "cases").iterdir():
            if path.is_dir() and path.name not in known:
                shutil.rmtree(path)


def _drop_failed(part: Path) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(part)
    kept = table.filter(pc.not_equal(table["status"], FAILED))
    if len(kept) == 0:
        part.unlink()
    elif len(kept) < len(table):
        sink = pa.BufferOutputStream()
        pq.write_table(kept, sink, compression="zstd")
        write_whole(part, sink.getvalue().to_pybytes())


def parts(folder: Path) -> list[Path]:
    """The parts that count, in the order of their rows: those whose range no larger part covers."""
    found = sorted((folder / "rows").glob("part-*.parquet"), key=lambda p: (_range(p)[0], -_range(p)[1]))
    kept: list[Path] = []
    for part in found:
        if not kept or _range(part)[1] > _range(kept[-1])[1]:
            kept.append(part)
    return kept


def read_rows(folder: Path) -> pd.DataFrame:
    """All rows of an audit, by image, classifier and what was asked."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(part) for part in parts(folder)]
    if not tables:
        return pd.DataFrame(columns=["image_id", "asked", "classifier", "target", "status"])
    rows: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
    return rows.sort_values(["image_id", "classifier", "asked"], kind="stable", ignore_index=True)


def schema(records: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """A column's type follows from its name, so that parts agree whatever their rows hold."""
    import pyarrow as pa

    def kind(name: str) -> pa.DataType:
        if TEXT.fullmatch(name):
            return pa.string()
        if FLAG.fullmatch(name):
            return pa.bool_()
        return pa.int64() if WHOLE.fullmatch(name) else pa.float64()

    return pa.schema([(name, kind(name)) for name in dict.fromkeys(n for record in records for n in record)])


def _length(part: Path) -> int:
    first, last = _range(part)
    return last - first + 1


def _range(part: Path) -> tuple[int, int]:
    first, last = part.stem.split("-")[1:]
    return int(first), int(last)
