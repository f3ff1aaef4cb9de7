"""The state of a training run: what it writes into its folder after every epoch, and how it resumes from there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from cfexplain.images import write_whole
from cfexplain_classifiers import checkpoint
from cfexplain_classifiers.network import LesionClassifier

STATE, BEST, RESULT = "last.safetensors", "best.safetensors", "classifier.safetensors"


@dataclass
class Run:
    """Everything that a resumed training needs to reach the same result.

    Attributes:
        network: the network in training.
        averaged: exponential moving average of its weights, which is validated and saved.
        optimizer: with its moments.
        steps: of the whole training.
        step: steps done.
        epoch: epochs done.
        best: highest validation score so far.
        stale: epochs since then.
    """

    network: LesionClassifier
    averaged: AveragedModel
    optimizer: torch.optim.AdamW
    steps: int
    step: int = 0
    epoch: int = 0
    best: float = float("-inf")
    stale: int = 0

    @property
    def average(self) -> LesionClassifier:
        """The averaged network."""
        return cast(LesionClassifier, self.averaged.module)

    def end_epoch(self, folder: Path, row: dict[str, Any], eligible: bool) -> None:
        """Log an epoch, save the network if it is the best eligible one, then save the state to resume from.

        The state is written last: after an interruption in between, the epoch is repeated with the same result.
        """
        _log(folder / "log.csv", row)
        self.epoch += 1
        self.stale += eligible
        if eligible and row["val_balanced_accuracy"] > self.best:
            self.best, self.stale = row["val_balanced_accuracy"], 0
            checkpoint.save(self.average, folder / BEST)
        moments = self.optimizer.state_dict()["state"]
        parts = {"network": self.network.state_dict(), "averaged": self.averaged.state_dict()}
        parts |= {f"adam.{index}": values for index, values in moments.items()}
        state = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        counters = {key: repr(getattr(self, key)) for key in ("step", "epoch", "best", "stale")}
        write_whole(folder / STATE, save({k: v.detach().cpu().contiguous() for k, v in state.items()}, counters))

    def resume(self, path: Path) -> None:
        """Continue from a saved state."""
        with safe_open(path, framework="pt") as file:
            counters, state = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

        def part(prefix: str) -> dict[str, Tensor]:
            return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        self.averaged.load_state_dict(part("averaged."))
        moments = {index: part(f"adam.{index}.") for index, _ in enumerate(self.network.parameters())}
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.step, self.epoch, self.stale = (int(counters[key]) for key in ("step", "epoch", "stale"))
        self.best = float(counters["best"])


def claim(path: Path, wanted: dict[str, Any], defaults: dict[str, Any], kind: str) -> None:
    """Record the settings or the data of a run in its folder, and refuse a folder that holds a run with others.

    Raises:
        ValueError: a value differs from the recorded one; what an older record lacks had its default.
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
