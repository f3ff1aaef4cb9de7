"""What a visitor sees of a search: how it grows, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cfexplain.explanation.explanation import Explanation
from cfexplain.types import Image


@dataclass(frozen=True, eq=False)
class Growing:
    """A sight of the search.

    Attributes:
        stage: anchor, edit or judge.
        image: of the anchor the painting; of the edit what would be shown if it stopped here, shape (3, h, w).
        step: of this stage, counted from 1.
        steps: of this stage, at most.
        trail: probability of the target at each step of the edit so far.
        seconds: since it began.
    """

    stage: str
    image: Image
    step: int
    steps: int
    trail: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Grown:
    """The end of the search.

    Attributes:
        explanation: of the picture.
        folder: with everything that `cfexplain explain` writes, and report.html.
        archive: all of it as one zip file.
    """

    explanation: Explanation
    folder: Path
    archive: Path
