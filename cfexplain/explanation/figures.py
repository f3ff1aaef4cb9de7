"""Pictures that only some explanations have, by file name; they go into `Explanation.figures`."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from PIL import Image as PIL
from torch import Tensor

from cfexplain.classifier.checks import predict
from cfexplain.explanation import plot
from cfexplain.explanation.explanation import SeedAgreement
from cfexplain.images import paste_change, png_bytes, round8, to_uint8
from cfexplain.search.edit import Edit
from cfexplain.types import Classifier, Image, Images, Prediction, Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def fullsize_figure(edit: Edit, picture: Image) -> dict[str, bytes]:
    """The change pasted into the picture at its own resolution: fullsize.png."""
    return {"fullsize.png": png_bytes(paste_change(picture, (edit.image - edit.query)[0].cpu()))}


def path_figures(edit: Edit, classifier: Classifier) -> dict[str, bytes]:
    """The path from the query to the counterfactual and beyond: path.gif, path.png; nothing without an edit."""
    if edit.status[0] is Status.ALREADY_TARGET:
        return {}
    path = path_of(edit, classifier)
    return {"path.gif": path.gif(), "path.png": plot.png(path.plot())}


def seed_figures(edits: Sequence[Edit], seeds: SeedAgreement | None) -> dict[str, bytes]:
    """Results of several seeds side by side, and where they agree: seeds.png; nothing where seeds were not compared."""
    if seeds is None:
        return {}
    floor = torch.zeros_like(seeds.agreement) if seeds.floor is None else seeds.floor
    return {"seeds.png": plot.png(plot.seeds_figure(edits, seeds.agreement, floor))}


@dataclass(frozen=True, eq=False)
class Path:
    """Frames between the query of one image and beyond its counterfactual, with their prediction."""

    edit: Edit
    alphas: Float[Tensor, " k"]  # Share of the change: 0 is the query, 1 the counterfactual, more exaggerates it.
    frames: Images  # query + alpha * (painted - anchor), eight bits.
    prediction: Prediction

    def plot(self) -> "Figure":
        """Some frames over the curve of the source's and the target's probability."""
        shown = torch.linspace(0, len(self.alphas) - 1, 6).round().long().tolist()
        figure = plot.blank_figure(9, 4.2)
        figure.set_layout_engine("constrained")
        grid = figure.add_gridspec(2, len(shown), height_ratios=(1.1, 1))
        for column, k in enumerate(shown):
            axis = figure.add_subplot(grid[0, column])
            axis.imshow(to_uint8(self.frames[k]))
            axis.set_title(f"α = {float(self.alphas[k]):.2f}", fontsize=9)
            axis.axis("off")
        curve = figure.add_subplot(grid[1, :])
        for index, colour in ((int(self.edit.source), "#5e3c99"), (int(self.edit.target), "#e66101")):
            seen = self.prediction.probabilities[:, index].cpu()
            curve.plot(self.alphas.tolist(), seen.tolist(), color=colour, label=plot.literal(self.edit.classes[index]))
        curve.axvline(1.0, color="0.6", linewidth=0.8, linestyle="--")
        curve.set(xlabel="share of the change, α (1: the counterfactual)", ylabel="probability", ylim=(0, 1))
        curve.legend(frameon=False)
        return figure

    def gif(self) -> bytes:
        """A looping animation there and back, two seconds each way, 256 pixels along the longer side."""
        height, width = self.frames.shape[-2:]
        size = [max(1, round(256 * side / max(height, width))) for side in (width, height)]
        there = [PIL.fromarray(to_uint8(f)).resize(size, PIL.Resampling.BICUBIC) for f in self.frames]
        first, *others = [*there, *there[-2:0:-1]]
        buffer, pause = io.BytesIO(), round(2000 / len(there))
        first.save(buffer, "GIF", save_all=True, append_images=others, duration=pause, loop=0)
        return buffer.getvalue()


def path_of(result: Edit, classifier: Classifier, *, frames: int = 22) -> Path:
    """Walk from the query of one image along the change to the counterfactual, and beyond to alpha 1.5.

    Of 22 frames, the query included, one is the counterfactual itself.

    Source: progressive exaggeration (Singla et al. 2020) along a straight line; ours.
    """
    alphas = torch.linspace(0, 1.5, frames)
    change = result.painted - result.anchor
    if not torch.equal(round8(result.query + change), result.image):  # The painting itself is shown.
        change = result.image - result.query
    images = round8(result.query + alphas.to(change).view(-1, 1, 1, 1) * change)
    return Path(result, alphas, images, predict(classifier, images))
