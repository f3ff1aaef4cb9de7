"""All visits of one app: begun, counted, kept in line, ended."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from cfexplain.app.shelf import Shelf
from cfexplain.app.visit import VISIT, Visit

MOST_VISITS = 32
"""Visits kept at once; the one longest unused goes first."""


class Studio:
    """Classifiers and a temporary folder, shared by all visits; use it as a context manager.

    Args:
        names: of the classifiers on offer, as in `cfexplain explain`; the first one is the default.
        device: auto, cpu, cuda, ...
        folder: for the visits' folders; it is removed by `close`. None makes one.
    """

    def __init__(
        self,
        names: Sequence[str] = ("ham10000", "synthetic"),
        device: str = "auto",
        folder: Path | None = None,
    ) -> None:
        self.shelf = Shelf(names, device)
        self.folder = Path(tempfile.mkdtemp(prefix="cfexplain-app-")) if folder is None else folder
        self._visits: dict[str, Visit] = {}
        self._lock = threading.Lock()
        self.line: dict[str, None] = {}

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def visit(self, key: str) -> Visit:
        """The visit of this name, begun where it is new; beyond `MOST_VISITS` the oldest idle one ends."""
        with self._lock:
            found = self._visits.pop(key, None)
            self._visits[key] = found or Visit(self.shelf, self.folder)
            idle = [k for k, v in self._visits.items() if k != key and not v.working]
            over = idle[: max(0, len(self._visits) - MOST_VISITS)]
            gone = [self._visits.pop(k) for k in over]
        for one in gone:
            one.close()
        return self._visits[key]

    def end(self, key: str) -> None:
        """End a visit: its search stops, its files go."""
        with self._lock:
            visit = self._visits.pop(key, None)
        self.line.pop(key, None)
        if visit is not None:
            visit.close()
        self._sweep()

    def queue_up(self, key: str) -> int:
        """Stand in line for a search; how many are before this one."""
        with self._lock:
            self.line.pop(key, None)
            before = len(self.line) + sum(v.working for v in self._visits.values())
            self.line[key] = None
        return before

    def come_up(self, key: str) -> bool:
        """Leave the line; whether this one still stood in it."""
        with self._lock:
            return self.line.pop(key, False) is None

    def close(self) -> None:
        """End all visits and remove all files."""
        visits = list(self._visits.items())
        for key, _ in visits:
            self.end(key)
        for _, visit in visits:
            visit.wait(10.0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Where nobody is left, nothing is: uploads and what a server put beside the visits go too."""
        with self._lock:
            left = [] if self._visits else [path for path in self.folder.glob("*") if not path.name.startswith(VISIT)]
            for path in left:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
