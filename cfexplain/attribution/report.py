"""What a comparison leaves on disk: pictures and numbers of each lesion, a table and a plot of the methods."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cfexplain import images as files
from cfexplain.attribution import figure
from cfexplain.attribution.comparison import BETTER, Comparison, compare, summary
from cfexplain.attribution.heatmap import EIGHT, HEATMAPS, attribute
from cfexplain.attribution.reference import REFERENCES
from cfexplain.explanation import plot
from cfexplain.explanation.record import NOTICE
from cfexplain.method.presets import NATURAL
from cfexplain.method.stage import Method
from cfexplain.search.edit import Edit
from cfexplain.search.explain import Watch, explain
from cfexplain.types import Classifier, Image, Status

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Asked:
    """Which counterfactuals are asked for; see `explain`."""

    target: int | str = "auto"
    method: Method = NATURAL
    seed: int = 0
    budget: float | None = None
    device: torch.device | str = "cpu"


@dataclass(eq=False)
class Report:
    """Compares methods lesion by lesion and keeps the rows for the table over all of them.

    Attributes:
        classifier: the explained one.
        methods: names of `HEATMAPS`.
        asked: which counterfactuals.
        masks: a folder with `<stem>.png` for each picture, or one mask for all; None without.
        rows: what was measured so far, a row a lesion and a method.
        statuses: how the search for each counterfactual ended.
    """

    classifier: Classifier
    methods: Sequence[str]
    asked: Asked = field(default_factory=Asked)
    masks: Path | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)

    def compare(self, path: Path, folder: Path, watch: Watch | None = None) -> Comparison:
        """Explain one picture, compare, and write into its folder."""
        picture, size, asked = files.load_picture(path), self.classifier.image_size, self.asked
        mask = self._mask(path, picture)
        found = explain(
            self.classifier,
            files.square(picture, size)[None].to(asked.device),
            asked.target,
            method=asked.method,
            seed=asked.seed,
            budget=math.inf if asked.budget is None else asked.budget,
            mask=None if mask is None else mask.to(asked.device),
            watch=watch,
        )
        return self.add(found, folder, files.readable(str(path)))

    def _mask(self, path: Path, picture: Image) -> Tensor | None:
        """The lesion's mask in the classifier's square, shape (1, 1, s, s)."""
        if self.masks is None:
            return None
        place = self.masks / f"{path.stem}.png" if self.masks.is_dir() else self.masks
        return files.square_mask(files.load_mask(place), picture, self.classifier.image_size)[None]

    def add(self, found: Edit, folder: Path, image: str) -> Comparison:
        """Compare on one lesion and write comparison.png, curves.png and comparison.json into its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        maps = {
            name: attribute(
                self.classifier, found.query, found.source, name, counterfactual=found.image, seed=self.asked.seed
            )
            for name in self.methods
        }
        comparison = compare(found, maps, classifier=self.classifier, seed=self.asked.seed)
        plot.save(comparison.plot(), folder / "comparison.png")
        if comparison.swaps:
            plot.save(figure.curves_figure(comparison), folder / "curves.png")
        self.statuses.append(found.status[0])
        source, target = (found.classes[int(k)] for k in (found.source, found.target))
        asked = {"image": image, "source": source, "target": target, "method": found.method, "seed": found.seed}
        _write(folder / "comparison.json", asked | {"status": found.status[0].value} | comparison.to_dict())
        self.rows += comparison.rows.assign(image=image).to_dict("records")  # type: ignore[arg-type]
        return comparison

    def save(self, out: Path) -> None:
        """Write what all lesions say, where there are some: comparison.json, rows.csv, methods.csv, .md and .png."""
        import pandas as pd

        if not self.rows:
            return
        rows = pd.DataFrame(self.rows)
        found = summary(rows)
        rows.to_csv(out / "rows.csv", index=False, float_format="%.6g")
        found.to_csv(out / "methods.csv", index=False, float_format="%.6g")
        files.write_whole(out / "methods.md", table(found).encode())
        plot.save(figure.methods_figure(found), out / "methods.png")
        plain: list[Any] = found.astype(object).where(found.notna(), None).to_dict("records")
        _write(out / "comparison.json", {"images": rows["image"].nunique(), "better": BETTER, "summary": plain})


def named(text: str) -> tuple[str, ...]:
    """Methods from a list with commas; `all` is all of them, and nothing the eight of `EIGHT`.

    Example:
        >>> named("gradcam, saliency")
        ('gradcam', 'saliency')

    Raises:
        ValueError: there is no such method.
    """
    if text == "all":
        return tuple(name for name in HEATMAPS if name != "deep-lift")
    listed = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) or EIGHT
    unknown = [name for name in listed if name not in HEATMAPS]
    if unknown:
        raise ValueError(f"there is no attribution method {unknown[0]}: use {', '.join(HEATMAPS)}")
    return listed


def table(found: pd.DataFrame) -> str:
    """The summary as Markdown: a row a method, mean and interval of each measure that anything has."""
    known = [name for name in BETTER if found.loc[found["measure"] == name, "n"].sum() > 0]
    heads = [f"{figure.LABELS[name]} ({'+' if BETTER[name] == 'higher' else '-'})" for name in known]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (len(known) + 1) + "|"]
    for method, own in found.groupby("method", sort=False):
        cells = [_cell(own[own["measure"] == name].iloc[0]) for name in known]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Means with 95 % bootstrap intervals over images; + higher is better, - lower.", ""])


def sentence(comparison: Comparison, image: str) -> str:
    """One lesion in a sentence: which map agrees most, and which finds the pixels that flip the model."""
    rows = comparison.rows[~comparison.rows["method"].isin(REFERENCES)]
    if not comparison.counterfactual.found[0]:
        return f"{image}: {comparison.counterfactual.status[0].advice}"
    agrees: Any = rows.sort_values("rank_correlation", ascending=False, kind="stable").iloc[0]
    text = (
        f"{image}: {agrees['method']} agrees most with the change (rank correlation {agrees['rank_correlation']:.2f})"
    )
    known = rows.dropna(subset=["sufficiency"])
    if known.empty:
        return f"{text}."
    first: Any = known.sort_values("sufficiency", kind="stable").iloc[0]
    return f"{text}; the top {first['sufficiency']:.0%} of {first['method']} suffices to flip the model."


def _cell(row: Any) -> str:
    return "" if math.isnan(row["mean"]) else f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _write(path: Path, values: Mapping[str, Any]) -> None:
    """Plain values as JSON, without digits that float32 does not have."""
    text = json.dumps(_rounded(dict(values) | {"notice": NOTICE}), indent=2, allow_nan=False)
    files.write_whole(path, (text + "\n").encode())


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value
