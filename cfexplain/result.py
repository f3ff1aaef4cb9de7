"""What an explanation is: the images, the predictions, how it went; saved, loaded, plotted, shown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfexplain.images import Square, png_bytes, write_whole
from cfexplain.metrics import evaluate
from cfexplain.types import Image, Images, Prediction, Status
from cfexplain.version import versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = 1
NOTICE = "Research use only: this explains a model, it does not diagnose a lesion."
ROUGH = 25.0
"""Decibels from anchor to query below which a change is cautioned against; the methods reach 30. Source: ours."""
_TENSORS = ("query", "anchor", "painted", "image", "region", "mask")


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """What would have changed the model's mind, for a batch of images; `result[i]` is one of them.

    Attributes:
        query: the images that were explained, shape (n, 3, h, w).
        anchor: the generator's painting of them, from which the edit departs.
        painted: the generator's painting after the edit (between it and the anchor, where alpha is below 1).
        image: what is shown, rounded to eight bits: query + (painted - anchor), or the painting itself.
        target: class index asked for, shape (n,).
        classes: names of the classes.
        before: prediction of the query.
        at_anchor: prediction of the anchor.
        after: prediction of the shown image.
        status: how each search ended.
        alpha: share of the edit's change that was kept, see `Shrink`; 1 is the whole.
        steps: taken, anchor included.
        seconds: wall time of each image.
        history: of each edit, one row a step.
        method: its name.
        settings: all of it, as plain values.
        seed: of noise and weights.
        region: where changes were allowed; None is everywhere.
        mask: where the lesion is, for metrics; None where it is not known.
    """

    query: Images
    anchor: Images
    painted: Images
    image: Images
    target: Int[Tensor, " n"]
    classes: Sequence[str]
    before: Prediction
    at_anchor: Prediction
    after: Prediction
    status: tuple[Status, ...]
    alpha: tuple[float, ...]
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    history: tuple[list[dict[str, float]], ...]
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    region: Float[Tensor, "n 1 h w"] | None = None
    mask: Float[Tensor, "n 1 h w"] | None = None

    @property
    def difference(self) -> Float[Tensor, "n 3 h w"]:
        """What the edit changed: painted - anchor, free of the generator's reconstruction error."""
        return self.painted - self.anchor

    @property
    def source(self) -> Int[Tensor, " n"]:
        """Class index predicted of each query."""
        return self.before.logits.argmax(1)

    @property
    def found(self) -> tuple[bool, ...]:
        """Whether each shown image is predicted as its target by an edit."""
        return tuple(s is Status.FOUND for s in self.status)

    def __len__(self) -> int:
        return len(self.query)

    def __iter__(self) -> Iterator[Counterfactual]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Counterfactual:
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        i = index % len(self)
        values = {f.name: _part(getattr(self, f.name), i) for f in fields(self) if f.name not in _WHOLE}
        return replace(self, **values)

    def records(self, images: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """One plain record an image: names, probabilities, metrics, settings; what result.json holds."""
        frame = evaluate(self).astype(object)
        measured: list[Any] = frame.where(frame.notna(), None).to_dict("records")
        names = images or [f"image-{i}" for i in range(len(self))]
        return [self._record(i, name, measured[i]) for i, name in enumerate(names)]

    def save(
        self,
        out: str | Path,
        *,
        image: str = "image-0",
        picture: Image | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write one explanation to a folder: pictures, panel, exact tensors, result.json (last, as a seal).

        Args:
            out: the folder.
            image: name of the image in the record.
            extra: plain values to add to the record.
            picture: the picture at its own resolution; the change is then also shown there, as fullsize.png.

        Raises:
            ValueError: the result holds several images; save `result[i]` each to its own folder.
        """
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        for name, content in self.files(image=image, picture=picture, extra=extra).items():
            write_whole(out / name, content)
        return out

    def files(
        self,
        *,
        image: str = "image-0",
        picture: Image | None = None,
        extra: Mapping[str, Any] | None = None,
        figures: bool = True,
    ) -> dict[str, bytes]:
        """What `save` writes, by name, result.json last.

        Args:
            image: name of the image in the record.
            picture: at its own resolution; the change is then also shown there.
            extra: plain values to add to the record.
            figures: draw panel.png and the change with its scale; else change.png is the bare coloured change.
        """
        self._single("save")
        from cfexplain import plot

        made = {"query": self.query[0], "anchor": self.anchor[0], "counterfactual": self.image[0]}
        if picture is not None:
            shown = self.image[0].cpu() - self.query[0].cpu()
            made["fullsize"] = Square.of(*picture.shape[-2:]).paste_change(picture, shown)
        if not figures:
            made["change"] = plot.change_image(self.difference[0])
        found = {f"{name}.png": png_bytes(content) for name, content in made.items()}
        if figures:
            found["change.png"] = plot.png(plot.change_figure(self))
            found["panel.png"] = plot.png(plot.panel(self, caption=_caption(extra or {})))
        record = json.dumps(self.records([image])[0] | dict(extra or {}), indent=2, allow_nan=False)
        return found | {"tensors.safetensors": self._packed(), "result.json": (record + "\n").encode()}

    @classmethod
    def load(cls, folder: str | Path) -> Counterfactual:
        """Read what `save` wrote; tensors are bit-identical, tapped features are not kept."""
        from safetensors.torch import load_file

        folder = Path(folder)
        record = json.loads((folder / "result.json").read_text())
        stored = load_file(folder / "tensors.safetensors")

        def prediction(of: str) -> Prediction:
            return Prediction(stored[f"{of}.logits"], (), stored.get(f"{of}.loss"))

        return cls(
            **{name: stored.get(name) for name in _TENSORS},  # type: ignore[arg-type]
            target=stored["target"],
            classes=tuple(record["classes"]),
            before=prediction("before"),
            at_anchor=prediction("at_anchor"),
            after=prediction("after"),
            status=(Status(record["status"]),),
            alpha=(record.get("alpha", 1.0),),
            steps=(record["steps"],),
            seconds=(record["seconds"],),
            history=(record["history"],),
            method=record["method"]["name"],
            settings=record["method"],
            seed=record["seed"],
        )

    def plot(self) -> Figure:
        """One look: query, anchor, counterfactual, signed change, probabilities; a row an image."""
        from cfexplain import plot

        return plot.panel(self)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{self.classes[s]} -> {self.classes[t]}: {status.value}"
            for s, t, status in zip(self.source.tolist(), self.target.tolist(), self.status, strict=True)
        )
        return f"Counterfactual({self.method}; {shown})"

    def _repr_png_(self) -> bytes:
        from cfexplain import plot

        return plot.png(self.plot())

    def _single(self, verb: str) -> None:
        if len(self) != 1:
            raise ValueError(f"{verb} one image at a time: this result holds {len(self)}, use result[i].{verb}(...)")

    def _packed(self) -> bytes:
        from safetensors.torch import save as pack

        tensors = {name: getattr(self, name) for name in _TENSORS if getattr(self, name) is not None}
        tensors["target"] = self.target
        for name, prediction in (("before", self.before), ("at_anchor", self.at_anchor), ("after", self.after)):
            tensors[f"{name}.logits"] = prediction.logits
            if prediction.loss is not None:
                tensors[f"{name}.loss"] = prediction.loss
        return pack({k: v.detach().cpu().contiguous() for k, v in tensors.items()})

    def _record(self, i: int, image: str, measured: Mapping[str, Any]) -> dict[str, Any]:
        predictions = {"query": self.before, "anchor": self.at_anchor, "counterfactual": self.after}
        return {
            "format": FORMAT,
            "image": image,
            "classes": list(self.classes),
            "source": self.classes[int(self.source[i])],
            "target": self.classes[int(self.target[i])],
            "status": self.status[i].value,
            "advice": self.status[i].advice,
            "caution": _caution(self.status[i], measured.get("anchor_psnr")),
            "probabilities": {
                k: dict(zip(self.classes, _rounded(p.probabilities[i].tolist()), strict=True))
                for k, p in predictions.items()
            },
            "estimated_loss": {
                k: None if p.loss is None else _finite(float(p.loss[i])) for k, p in predictions.items()
            },
            "metrics": dict(zip(measured, _rounded(measured.values()), strict=True)),
            "method": dict(self.settings) or {"name": self.method},
            "alpha": round(self.alpha[i], 6),
            "seed": self.seed,
            "steps": self.steps[i],
            "seconds": round(self.seconds[i], 3),
            "device": str(self.query.device),
            "versions": versions(),
            "history": [{k: _finite(v) for k, v in row.items()} for row in self.history[i]],
            "notice": NOTICE,
        }


def _caution(status: Status, anchor_psnr: float | None) -> str | None:
    """What to mind before a change is read that was found from a poor painting."""
    if status is not Status.FOUND or anchor_psnr is None or anchor_psnr >= ROUGH:
        return None
    return (
        f"The painter had not learned the picture yet (its anchor reached {anchor_psnr:.0f} dB, not {ROUGH:.0f}) and "
        "moves patches of colour: do not read a lesion's change into them, raise the budget or the anchor's steps."
    )


def _caption(extra: Mapping[str, Any]) -> str:
    """The verdict and the readout's sentence, where they are known."""
    verdict = str(extra["verdict"]["kind"]).capitalize() + ". " if "verdict" in extra else ""
    return verdict + str(extra.get("words", ""))


_WHOLE = ("classes", "method", "settings", "seed")


def _part(value: Any, i: int) -> Any:
    """The i-th image's share of a field of `Counterfactual`."""
    if value is None:
        return None
    if isinstance(value, Prediction):
        loss = None if value.loss is None else value.loss[i : i + 1]
        return Prediction(value.logits[i : i + 1], tuple(f[i : i + 1] for f in value.features), loss)
    return value[i : i + 1]


def _rounded(values: Any) -> list[Any]:
    """As JSON holds them: what is not finite is none of its numbers."""
    return [_finite(v) if isinstance(v, float) else v for v in values]


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def settings_of(value: Any) -> Any:
    """A frozen dataclass, such as a `Method`, as plain values for JSON; each part names its kind."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {f.name: settings_of(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [settings_of(v) for v in value]
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def concatenate(results: Sequence[Counterfactual]) -> Counterfactual:
    """Several results of one method on one classifier as one batch."""
    first = results[0]

    def joined(name: str) -> Any:
        values = [getattr(r, name) for r in results]
        if values[0] is None:
            return None
        if isinstance(values[0], Prediction):
            loss = None if values[0].loss is None else torch.cat([v.loss for v in values])
            taps = tuple(torch.cat(tap) for tap in zip(*(v.features for v in values), strict=True))
            return Prediction(torch.cat([v.logits for v in values]), taps, loss)
        return torch.cat(values) if isinstance(values[0], Tensor) else tuple(x for v in values for x in v)

    return replace(first, **{f.name: joined(f.name) for f in fields(first) if f.name not in _WHOLE})
