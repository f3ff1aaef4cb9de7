"""What the studies share: paths, the fixed list of lesions, oracles, intervals, Markdown tables and figures."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from perceptual import LPIPS, load_lpips
from torch import Tensor

from cfexplain.explanation.metrics.oracle import OracleAgreement, ask_oracle
from cfexplain.explanation.plot import blank_figure
from cfexplain.images import central_square, resize, square, to_uint8
from cfexplain_classifiers import load
from cfexplain_datasets import open_dataset
from cfexplain_datasets.lesion import Lesion

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CFEXPLAIN_DATA", ROOT.parent / "shared" / "data"))
HAM10000 = DATA / "isic" / "ham10000_200x150"
RUNS, RESULTS = ROOT / "runs", ROOT / "experiments" / "results"
COUNTS = {"mel": 81, "nv": 90, "bkl": 12, "bcc": 12, "akiec": 12, "df": 6, "vasc": 6}
ISIC2017_NAMES = {"mel": "melanoma", "nv": "nevus", "bkl": "seborrheic_keratosis"}


def command(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the docstring of the script."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def digest(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def ham10000(split: str | None = None) -> Any:
    whole = open_dataset("ham10000", HAM10000)
    return whole if split is None else whole.subset(split)


def by_digest(samples: Any) -> pd.DataFrame:
    """The table with one image a lesion, that of the smallest sha256 of the image id, in the order of these."""
    table = samples.table.assign(digest=[digest(i) for i in samples.table.index])
    return table.sort_values("digest").drop_duplicates("lesion_id")


def manifest() -> list[Lesion]:
    """The fixed list of test lesions, in the order of the digests, so that any beginning of it is a fair sample."""
    test = ham10000("test")
    table = by_digest(test)
    chosen = pd.concat([table[table["label"] == label].head(count) for label, count in COUNTS.items()])
    return list(test.select(list(chosen.sort_values("digest").index)))


def image_and_mask(lesion: Lesion, size: int) -> tuple[Tensor, Tensor]:
    """The central square and the lesion's mask in it, (1, 3, size, size) and (1, 1, size, size)."""
    assert lesion.mask is not None, "HAM10000 has a mask for every image"
    mask = central_square(lesion.mask)
    return square(lesion.image, size)[None], (resize(mask[None], size) > 0.5).float()


@torch.no_grad()
def targets(classifier: Any, query: Tensor) -> dict[str, str]:
    """The two targets of an image: the second most likely class, and melanoma (nevus where melanoma is predicted)."""
    first, second = (classifier.classes[i] for i in classifier(query).logits[0].topk(2).indices)
    return {"second": second, "melanoma": "nv" if first == "mel" else "mel"}


@cache
def oracles() -> dict[str, tuple[Any, dict[str, str]]]:
    """Independent classifiers, and their names of our classes where these differ."""
    from oracles import load_oracle

    return {
        "witness (tuning)": (load("witness"), {}),
        "isic2017": (load_oracle("isic2017"), ISIC2017_NAMES),
        "grey": (load_oracle("grey"), {}),
    }


def ask_oracles(edit: Any, classes: Sequence[str]) -> dict[str, OracleAgreement]:
    return {
        name: ask_oracle(edit, oracle, classes=[names.get(c, c) for c in classes])
        for name, (oracle, names) in oracles().items()
    }


@cache
def lpips() -> LPIPS:
    return load_lpips(DATA / "weights")


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Any], images: Tensor, size: int = 64) -> Tensor:
    return torch.cat([function(part).float() for part in images.split(size)])


def interval(values: Iterable[Any], draws: int = 2000) -> dict[str, float]:
    """A mean with its 95 % percentile bootstrap over lesions (a value a lesion); NaNs are left out."""
    known = pd.Series(values).dropna().to_numpy(dtype=float)
    if len(known) == 0:
        return {"mean": math.nan, "low": math.nan, "high": math.nan}
    means = known[np.random.default_rng(0).integers(len(known), size=(draws, len(known)))].mean(1)
    return spread(means, float(known.mean()), "mean")


def spread(draws: Any, value: float, name: str = "value") -> dict[str, float]:
    """A value with the middle 95 % of its draws."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return {name: float(value), "low": float(low), "high": float(high)}


def wilson(flips: pd.Series) -> dict[str, float]:
    """A share with its 95 % Wilson interval."""
    n, z = len(flips), 1.96
    if n == 0:
        return {"n": 0, "flip": math.nan, "low": math.nan, "high": math.nan}
    p = float(flips.mean())
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return {"n": n, "flip": p, "low": (middle - half) / (1 + z * z / n), "high": (middle + half) / (1 + z * z / n)}


def cell(found: dict[str, float] | None, digits: int = 3, sign: str = "") -> str:
    """An estimate and its interval, "" where there is none."""
    if found is None:
        return ""
    value = next(found[name] for name in ("mean", "value", "flip", "agreement") if name in found)
    return f"{value:{sign}.{digits}f} [{found['low']:{sign}.{digits}f}, {found['high']:{sign}.{digits}f}]"


def markdown(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [" | ".join(columns), *(" | ".join(map(str, row)) for row in rows)]
    head, *body = (f"| {line} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(columns), *body]) + "\n"


def write_json(path: Path, found: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def read_rows(path: Path, column: str = "method") -> pd.DataFrame:
    """The rows written before; none, with one column, where there is no file."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame({column: []})


def subplots(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Any, Any]:
    figure = blank_figure(width, height)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def sheet(
    rows: Sequence[Sequence[Tensor | np.ndarray | None]],
    path: Path,
    *,
    titles: Sequence[str] = (),
    labels: Sequence[str] = (),
    side: float = 1.1,
    scale: float = 0.2,
) -> None:
    """Images (tensors) and signed changes (arrays) in a grid; None leaves a place empty."""
    width, height = side * len(rows[0]), side * len(rows) + 0.3
    figure, axes = subplots(len(rows), len(rows[0]), width, height, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for axis, image in zip(axes.flat, (image for row in rows for image in row), strict=True):
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        if isinstance(image, np.ndarray):
            axis.imshow(image, cmap="PuOr_r", vmin=-scale, vmax=scale)
        elif image is not None:
            axis.imshow(to_uint8(image))
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=7)
    for axis, label in zip(axes[:, 0], labels, strict=False):
        axis.set_ylabel(label, fontsize=8)
    figure.savefig(path, dpi=90, bbox_inches="tight")
