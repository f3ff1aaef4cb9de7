"""The record of a search: the files that `cfexplain explain` writes, a page, and all of it as one zip file."""

from __future__ import annotations

import re
import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from cfexplain.app.sight import Grown
from cfexplain.explanation.explanation import Explanation
from cfexplain.explanation.figures import fullsize_figure
from cfexplain.explanation.folder import save
from cfexplain.report import render_explanation
from cfexplain.types import Image


@dataclass(frozen=True, eq=False)
class Record:
    """Where a search's record will lie, and of which picture it is.

    Attributes:
        folder: of the visit; the record of the search before goes when this one is written.
        number: of the search in its visit.
        name: of the picture.
        picture: as it was read.
    """

    folder: Path
    number: int
    name: str
    picture: Image

    def write(self, explanation: Explanation) -> Grown:
        """Write it, its page, and both as a zip file."""
        figures = fullsize_figure(explanation.edit, self.picture)
        explanation = replace(explanation, figures=figures)
        room = self._room()
        folder = room / _plain(Path(self.name).stem)
        save(explanation, folder)
        render_explanation(explanation, folder)
        archive = room / f"{folder.name}-{_plain(explanation.source)}-{_plain(explanation.target)}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for path in sorted(folder.iterdir()):
                packed.write(path, f"{folder.name}/{path.name}")
        return Grown(explanation, folder, archive)

    def _room(self) -> Path:
        for old in self.folder.glob("record-*"):
            shutil.rmtree(old, ignore_errors=True)
        room = self.folder / f"record-{self.number}"
        room.mkdir(parents=True, exist_ok=True)
        return room


def _plain(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:80] or "picture"
