"""The state of a training run: what it writes into its folder after every epoch, and how it resumes from there."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel

from cfexplain.images import write_whole
from cfexplain_classifiers import checkpoint
from cfexplain_classifiers.network import LesionClassifier

STATE, BEST, RESULT = "last.pt", "best.safetensors", "classifier.safetensors"
PARTS, COUNTERS = ("network", "averaged", "optimizer"), ("step", "epoch", "best", "stale")


@dataclass
class Run:
    """Everything that a resumed training needs to reach the same result."""

    network: LesionClassifier  # in training
    averaged: AveragedModel  # exponential moving average of its weights, which is validated and saved
    optimizer: torch.optim.AdamW
    steps: int  # of the whole training
    step: int = 0  # steps done
    epoch: int = 0  # epochs done
    best: float = float("-inf")  # highest validation score so far
    stale: int = 0  # epochs since then

    @property
    def average(self) -> LesionClassifier:
        """The averaged network."""
        return cast(LesionClassifier, self.averaged.module)

    def end_epoch(self, folder: Path, row: dict[str, Any], eligible: bool) -> None:
        """Log an epoch, save the network if it is the best eligible one, then save the state to resume from."""
        _log(folder / "log.csv", row)
        self.epoch += 1
        self.stale += eligible
        if eligible and row["val_balanced_accuracy"] > self.best:
            self.best, self.stale = row["val_balanced_accuracy"], 0
            checkpoint.save(self.average, folder / BEST)
        # The state is written last: after an interruption in between, the epoch is repeated with the same result.
        file = io.BytesIO()
        counters = {name: getattr(self, name) for name in COUNTERS}
        torch.save({name: getattr(self, name).state_dict() for name in PARTS} | counters, file)
        write_whole(folder / STATE, file.getvalue())

    def resume(self, path: Path) -> None:
        """Continue from a saved state."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        for name in COUNTERS:
            setattr(self, name, state[name])


def claim(path: Path, wanted: dict[str, Any], defaults: dict[str, Any], kind: str) -> None:
    """Record the settings or the data of a run, and refuse a folder that holds a run with others by a `ValueError`.

    What an older record lacks had its default.
    """
    started = any((path.parent / name).exists() for name in (STATE, RESULT))
    recorded = defaults | json.loads(path.read_text()) if started and path.exists() else wanted
    if recorded | wanted != recorded:
        raise ValueError(
            f"{path.parent} holds a run with other {kind} (see {path}): choose another folder, or the same {kind}"
        )
    write_whole(path, json.dumps(wanted, indent=2).encode())


def _log(path: Path, row: dict[str, Any]) -> None:
    """Append the row of an epoch; it replaces the rows that an interrupted run wrote of this or later epochs."""
    lines = path.read_text().splitlines()[: row["epoch"] + 1] if path.exists() else [",".join(row)]
    write_whole(path, "\n".join([*lines, ",".join(map(str, row.values())), ""]).encode())
