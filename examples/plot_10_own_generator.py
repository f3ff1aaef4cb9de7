"""
A generator of your own
=======================

A generator is a recipe for a network that produces one image: ``build(query,
rng)`` makes the module, ``draw(query, rng)`` its fixed input, and ``module(z)``
has the query's shape and lies in [0, 1].
"""

# %%
# A simple prior: the query plus a smooth change, interpolated from a coarse
# grid. It can only move broad patches of colour, so it cannot make adversarial
# grain.

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

import cfexplain
import cfexplain_classifiers
from cfexplain_datasets.synthetic import SyntheticLesions


@dataclass(frozen=True)
class CoarseChange:
    """The query plus a bicubic interpolation of a coarse grid of changes.

    Attributes:
        cells: of the grid, a side.
    """

    cells: int = 8

    def build(self, query: Tensor, rng: torch.Generator) -> nn.Module:
        """The module; its parameters are what is optimised."""
        return _Grid(query, self.cells)

    def draw(self, query: Tensor, rng: torch.Generator) -> Tensor:
        """The query itself is the input."""
        return query


class _Grid(nn.Module):
    def __init__(self, query: Tensor, cells: int) -> None:
        super().__init__()
        self.grid = nn.Parameter(query.new_zeros(1, 3, cells, cells))

    def forward(self, z: Tensor) -> Tensor:
        change = nn.functional.interpolate(
            self.grid, z.shape[-2:], mode="bicubic", align_corners=False
        )
        return (z + change).clamp(0, 1)


# %%
# It starts at the query, so no anchor is needed, and its output is what is
# shown. Views and the estimated loss are those of the default.

method = replace(
    cfexplain.NATURAL,
    name="coarse change",
    generator=CoarseChange(),
    anchor=None,
    transfer="never",
    edit=replace(cfexplain.NATURAL.edit, learning_rate=1e-2),
)

# %%
classifier = cfexplain_classifiers.load("synthetic")
lesion = SyntheticLesions(8, size=64, split="test")[2]
edit = cfexplain.explain(
    classifier, lesion.image[None], method=method, mask=lesion.mask[None]
)
cfexplain.panel(edit)

# %%
# The verdict does not care where a counterfactual comes from.

explanation = cfexplain.describe(edit[0], classifier)
print(explanation.verdict.kind.value, explanation.words)
