"""
Methods compared
================

Every method is one descent of one generator on one objective. Here are five of
them on the same lesion, from plain pixels to the default.
"""

# %%
import pandas as pd

import cfexplain
import cfexplain_classifiers
from cfexplain_datasets.synthetic import SyntheticLesions

classifier = cfexplain_classifiers.load("synthetic")
lesion = SyntheticLesions(8, size=64, split="test")[2]
images, mask = lesion.image[None], lesion.mask[None]

edits = {
    name: cfexplain.explain(
        classifier, images, method=cfexplain.METHODS[name], mask=mask
    )
    for name in ("pixels", "tv", "dip", "regularised-dip", "natural")
}

# %%
# Above the counterfactuals, below the changes, each on its own scale.
# ``pixels`` and ``tv`` start at the query, so they have no anchor of their own.

from matplotlib.figure import Figure

from cfexplain.explanation.plot import change_image

figure = Figure(figsize=(11, 4.6), layout="constrained")
axes = figure.subplots(2, len(edits))
for (name, edit), column in zip(edits.items(), axes.T, strict=True):
    column[0].imshow(edit.image[0].permute(1, 2, 0))
    column[0].set_title(name)
    column[1].imshow(change_image(edit.difference[0]).permute(1, 2, 0))
    column[1].set_title("change")
for axis in axes.flat:
    axis.set_axis_off()
figure

# %%
# Validity alone does not tell them apart: all flip the prediction. What differs
# is whether the flip survives small image corruptions, how fine the change is,
# and how much of it lies on the lesion. One lesion says nothing about a method;
# the averages over 219 real ones are on the page :doc:`/results`.


def row(edit):
    explanation = cfexplain.describe(edit[0], classifier)
    verdict, metrics = explanation.verdict, explanation.metrics
    return {
        "status": edit.status[0].value,
        "verdict": verdict.kind.value,
        "robust": verdict.robustness["together"],
        "high-frequency share": verdict.high_frequency_share,
        "inside the lesion": metrics["inside_lesion"],
        "mean change": metrics["mean_change"],
        "seconds": edit.seconds[0],
    }


pd.DataFrame({name: row(edit) for name, edit in edits.items()}).T
