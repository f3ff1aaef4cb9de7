"""The settings on which an audit's rows depend, by which two runs in one folder are compared."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from os import SEEK_END
from pathlib import Path
from typing import Any

import torch

from cfexplain.audit.item import Samples
from cfexplain.audit.worker import Worker
from cfexplain.method.stage import settings_of
from cfexplain.types import Classifier

FORMAT = 2
TAIL = 4096  # Bytes at a file's end that distinguish it from others of its size.


def settings(worker: Worker, target: str, indices: Sequence[int]) -> dict[str, Any]:
    """What `audit.json` holds; `ids` and the values of `classifiers` and `oracles` are fingerprints."""
    found = {
        "format": FORMAT,
        "classifiers": {name: fingerprint(classifier) for name, classifier in worker.classifiers.items()},
        "oracles": {name: fingerprint(oracle) for name, oracle in worker.oracles.items()},
        "target": target,
        "method": settings_of(worker.method),
        "seed": worker.seed,
        "budget": None if math.isinf(worker.budget) else worker.budget,
        "images": len(indices),
        "ids": images_digest(worker.samples, indices),
        "names": dict(worker.names),
    }
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def check_same(settings: Mapping[str, Any], stored: Mapping[str, Any], folder: Path) -> None:
    """A ValueError where the settings differ from those of the audit in the folder."""
    if stored.get("format") != FORMAT:
        raise ValueError(
            f"{folder} holds an audit of another version of cfexplain, which this one can report on but not continue: "
            "use another folder"
        )
    for name, value in settings.items():
        if value != stored.get(name):
            raise ValueError(
                f"{folder} holds an audit with another {name}: {json.dumps(stored.get(name)):.120}, now "
                f"{json.dumps(value):.120}; use the same settings to continue it, or another folder"
            )


def fingerprint(classifier: Classifier) -> str:
    """Sixteen hexadecimal digits of a classifier's classes, image size, plain attributes and weights."""
    attributes = getattr(classifier, "__dict__", {})
    plain = {k: v for k, v in sorted(attributes.items()) if isinstance(v, str | int | float | bool | tuple)}
    digest = hashlib.sha256(repr((list(classifier.classes), classifier.image_size, plain)).encode())
    module = classifier if isinstance(classifier, torch.nn.Module) else getattr(classifier, "module", None)
    for name, value in module.state_dict().items() if isinstance(module, torch.nn.Module) else ():
        digest.update(name.encode() + value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def images_digest(samples: Samples, indices: Sequence[int]) -> str:
    """Sixteen hexadecimal digits of names, labels, lesions, all metadata, and the files' sizes and last bytes.

    The last bytes tell images of one size apart: a PNG ends in a checksum, a JPEG's bits move with every change.
    """
    columns = sorted(str(c) for c in samples.table)
    digest = hashlib.sha256()
    for name, *values in samples.table.iloc[list(indices)][columns].itertuples():
        known = [_tail(v) if c in ("path", "mask_path") else str(v) for c, v in zip(columns, values, strict=True)]
        digest.update(repr((str(name), known)).encode())
    return digest.hexdigest()[:16]


def _tail(path: object) -> tuple[int, bytes] | None:
    try:
        with Path(str(path)).open("rb") as file:
            size = file.seek(0, SEEK_END)
            file.seek(max(0, size - TAIL))
            return size, file.read()
    except OSError:
        return None
