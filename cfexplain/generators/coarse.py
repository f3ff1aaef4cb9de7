"""Another generator at half the size, enlarged bicubically: a change of a class needs no finer grid than that."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfexplain.generators.generator import Generator
from cfexplain.generators.pretrained import Pretrained
from cfexplain.types import Images


@dataclass(frozen=True)
class Coarse:
    """Generates at half the query's size, and enlarges the output bicubically.

    A step costs a quarter, and every change is smooth. What the enlarged image lacks in detail the shown one gets back
    by residual transfer (see `Method.transfer`).

    Attributes:
        generator: generates the small image.
        least: smallest side to generate, in pixels; an image of less than twice that is generated at this size, and
            one that is smaller at its own.

    Shape:
        that of the other generator, for a query reduced to (1, 3, ceil(h / 2), ceil(w / 2)) by averaging.

    Source: ours; experiments/results/pretrained_prior.md, together with the pretrained prior.

    Example:
        >>> coarse, rng = Coarse(), torch.Generator().manual_seed(0)
        >>> query = torch.rand(1, 3, 128, 128)
        >>> coarse.draw(query, rng).shape, coarse.build(query, rng)(coarse.draw(query, rng)).shape
        (torch.Size([1, 3, 64, 64]), torch.Size([1, 3, 128, 128]))
    """

    generator: Generator = field(default_factory=Pretrained)
    least: int = 64

    def build(self, query: Images, rng: torch.Generator) -> nn.Module:
        """The other generator's network for the reduced query, with the enlargement behind it."""
        return Enlarged(self.generator.build(self._reduced(query), rng), tuple(query.shape[-2:]))

    def draw(self, query: Images, rng: torch.Generator) -> Tensor:
        """The other generator's input for the reduced query."""
        return self.generator.draw(self._reduced(query), rng)

    def _reduced(self, query: Images) -> Images:
        size = [min(side, max(self.least, -(-side // 2))) for side in query.shape[-2:]]
        return query if size == list(query.shape[-2:]) else F.interpolate(query, size, mode="area")


class Enlarged(nn.Module):
    """A network whose output is enlarged to a size."""

    def __init__(self, network: nn.Module, size: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, z: Tensor) -> Tensor:
        """The enlarged image for z."""
        image: Tensor = self.network(z)
        if image.shape[-2:] == self.size:
            return image
        return F.interpolate(image, self.size, mode="bicubic", align_corners=False).clamp(0, 1)
