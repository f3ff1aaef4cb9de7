"""The record of a search: the files that `cfexplain explain` writes, a page, and all of it as one zip file."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfexplain.app.sight import Grown
from cfexplain.report import render
from cfexplain.result import Counterfactual
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

    def write(self, result: Counterfactual, said: Mapping[str, Any]) -> Grown:
        """Write it, its page, and both as a zip file; `said` joins what result.json says."""
        source, target = (result.classes[int(k)] for k in (result.source, result.target))
        room = self._room()
        folder = room / _plain(Path(self.name).stem)
        result.save(folder, image=self.name, picture=self.picture, extra=said)
        render(folder)
        archive = room / f"{folder.name}-{_plain(source)}-{_plain(target)}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for path in sorted(folder.iterdir()):
                packed.write(path, f"{folder.name}/{path.name}")
        return Grown(result, json.loads((folder / "result.json").read_text()), folder, archive)

    def _room(self) -> Path:
        for old in self.folder.glob("record-*"):
            shutil.rmtree(old, ignore_errors=True)
        room = self.folder / f"record-{self.number}"
        room.mkdir(parents=True, exist_ok=True)
        return room


def _plain(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:80] or "picture"
