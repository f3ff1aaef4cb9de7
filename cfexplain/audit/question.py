"""What an audit asks: a question an image, target and classifier; and the plan they follow from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from cfexplain.types import Classifier, Image

EACH = "each"
END = 4096
"""Bytes at a file's end that tell it from others of its size."""


class Sample(Protocol):
    """What an audit needs of one image; `cfexplain_datasets.Lesion` is one."""

    @property
    def image(self) -> Image: ...  # noqa: D102
    @property
    def mask(self) -> Float[Tensor, "1 h w"] | None: ...  # noqa: D102


class Samples(Protocol):
    """What an audit needs of a data set: `table` describes sample i in row i, indexed by image id."""

    @property
    def table(self) -> pd.DataFrame:
        """One row an image; the columns label and lesion_id are optional, everything else is metadata."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Sample: ...


@dataclass(frozen=True)
class Question:
    """One row of an audit: what would make this classifier see that target in this image?

    Attributes:
        index: of the sample.
        image_id: its name.
        asked: class name, or "auto" for the second most likely.
        classifier: its name.
    """

    index: int
    image_id: str
    asked: str
    classifier: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What no two questions of an audit share."""
        return (self.image_id, self.asked, self.classifier)

    @property
    def case(self) -> str:
        """The folder's name: letters of the key that every file system takes, and enough of its hash to be unique."""
        plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in "--".join(self.key))
        return f"{plain[:80]}--{hashlib.sha256(repr(self.key).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Plan:
    """The settings on which every row depends; kept in `audit.json`, and two runs in one folder must share them.

    Attributes:
        classifiers: name and fingerprint of each.
        oracles: the same of the independent ones.
        target: "auto", "each" or a class name.
        method: all of its settings.
        seed: of noise and weights.
        budget: seconds a question; None is unlimited.
        images: how many.
        ids: fingerprint of what they are, in order, see `images_digest`.
        names: what the classifiers call labels otherwise.
    """

    classifiers: Mapping[str, str]
    oracles: Mapping[str, str]
    target: str
    method: Mapping[str, Any]
    seed: int
    budget: float | None
    images: int
    ids: str
    names: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, such as JSON gives back."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    def refuse_other(self, kept: Mapping[str, Any], folder: str) -> None:
        """Raise ValueError where the folder's audit was planned otherwise."""
        own = self.to_dict()
        other = [name for name in own if own[name] != kept.get(name)]
        if other:
            name = other[0]
            raise ValueError(
                f"{folder} holds an audit with another {name}: {_short(kept.get(name))}, now {_short(own[name])}; "
                "use the same settings to go on with it, or another folder"
            )


def chosen(samples: Samples, limit: int | None) -> list[int]:
    """Which samples: all in their order, or `limit` of them by the hash of their names, so that no order biases it."""
    ids = [str(name) for name in samples.table.index]
    if limit is None or limit >= len(ids):
        return list(range(len(ids)))
    drawn = sorted(range(len(ids)), key=lambda i: hashlib.sha256(ids[i].encode()).hexdigest())
    return sorted(drawn[:limit])


def questions(
    samples: Samples, indices: Sequence[int], classifiers: Mapping[str, Classifier], target: str
) -> Iterator[Question]:
    """All questions, image after image, so that what is finished early says something about every classifier."""
    for index in indices:
        for name, classifier in classifiers.items():
            for asked in list(classifier.classes) if target == EACH else [target]:
                yield Question(index, str(samples.table.index[index]), asked, name)


def fingerprint(classifier: Classifier) -> str:
    """What tells one classifier from another: classes, size, plain settings and weights, as sixteen digits."""
    own = sorted(getattr(classifier, "__dict__", {}).items())
    plain = {k: v for k, v in own if isinstance(v, str | int | float | bool | tuple)}
    digest = hashlib.sha256(repr((list(classifier.classes), classifier.image_size, plain)).encode())
    module = classifier if isinstance(classifier, torch.nn.Module) else getattr(classifier, "module", None)
    for name, value in module.state_dict().items() if isinstance(module, torch.nn.Module) else ():
        digest.update(name.encode() + value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def images_digest(samples: Samples, indices: Sequence[int]) -> str:
    """Sixteen hexadecimal digits of names, labels, lesions, all metadata, and the files' sizes and ends.

    Where files lie does not matter. Their last bytes tell one picture from another of the same size: a PNG ends in a
    checksum of all its pixels, and a JPEG's bits move with every change before them.
    """
    columns = sorted(str(c) for c in samples.table)
    digest = hashlib.sha256()
    for name, *about in samples.table.iloc[list(indices)][columns].itertuples():
        known = [_trace(v) if c in ("path", "mask_path") else str(v) for c, v in zip(columns, about, strict=True)]
        digest.update(repr((str(name), known)).encode())
    return digest.hexdigest()[:16]


def _trace(path: object) -> tuple[int, bytes] | None:
    """How large a file is, and how it ends."""
    try:
        with Path(str(path)).open("rb") as file:
            size = file.seek(0, SEEK_END)
            file.seek(max(0, size - END))
            return size, file.read()
    except OSError:
        return None


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
