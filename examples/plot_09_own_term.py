"""
A term of your own
==================

A term is one wish about the generated image: smaller is better, one value per
image. Write a frozen dataclass with ``__call__``; nothing has to be registered.
"""

# %%
# The wish: leave the skin alone. Outside of the lesion, here the dark pixels of
# the query, the change is penalised.

from dataclasses import dataclass, replace

import torch

import cfexplain
import cfexplain_classifiers
from cfexplain.types import Candidate
from cfexplain_datasets.synthetic import SyntheticLesions


@dataclass(frozen=True)
class SameSkin:
    """Mean squared change of the bright pixels of the query (intensity^2).

    Attributes:
        above: a pixel of this brightness or more counts as skin.
    """

    above: float = 0.55

    def __call__(self, candidate: Candidate) -> torch.Tensor:
        """Mean squared change of the skin of each image."""
        skin = (
            candidate.problem.query.mean(1, keepdim=True) > self.above
        ).float()
        change = candidate.image - candidate.anchor
        return (change.square() * skin).flatten(1).mean(1)


# %%
# Add it to the objective of any method. A term that reads
# ``candidate.prediction`` also sets ``uses_classifier = True``.

base = cfexplain.FAST
objective = base.edit.objective | cfexplain.total((2000.0, SameSkin()))
careful = replace(
    base, name="same skin", edit=replace(base.edit, objective=objective)
)

# %%
classifier = cfexplain_classifiers.load("synthetic")
lesion = SyntheticLesions(8, size=64, split="test")[3]
images, mask = lesion.image[None], lesion.mask[None]
for method in (base, careful):
    edit = cfexplain.explain(classifier, images, method=method, mask=mask)
    inside = float(cfexplain.evaluate(edit)["inside_lesion"][0])
    print(
        f"{method.name}: {edit.status[0].value}, {inside:.0%} inside the lesion"
    )

# %%
cfexplain.panel(edit)
