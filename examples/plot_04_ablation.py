"""
An ablation in one line
=======================

Methods are values: frozen dataclasses. To leave a term out, to change a weight
or to swap the generator, write ``dataclasses.replace``.
"""

# %%
# A method is a generator, an optional stage that reconstructs the query (the
# anchor), and the stage that edits it.

from dataclasses import replace

import cfexplain
import cfexplain_classifiers
from cfexplain.terms import SameColour
from cfexplain_datasets.synthetic import SyntheticLesions

base = cfexplain.FAST
for part in base.edit.objective.parts:
    print(part.weight, part.term)

# %%
# Two ablations: the penalty on new colours left out, and no random views.
# ``objective.without(Term)`` removes a term and ``objective | total((weight,
# term))`` adds one.

free = base.edit.objective.without(SameColour)
variants = {
    "fast": base,
    "free colour": replace(base, edit=replace(base.edit, objective=free)),
    "no views": replace(base, edit=replace(base.edit, views=None)),
}

# %%
# Run all of them on the same lesion with the same seed, so that only the
# ablation differs.

classifier = cfexplain_classifiers.load("synthetic")
lesion = SyntheticLesions(8, size=64, split="test")[2]
images, mask = lesion.image[None], lesion.mask[None]
edits = {
    name: cfexplain.explain(classifier, images, method=method, mask=mask)
    for name, method in variants.items()
}
cfexplain.panel(edits["fast"], caption="fast")

# %%
cfexplain.panel(edits["free colour"], caption="free colour")

# %%
cfexplain.panel(edits["no views"], caption="no views")

# %%
# ``evaluate`` gives all metrics as a table; the same on real lesions, with
# intervals, is on the page :doc:`/measured`.

import pandas as pd

table = pd.concat(
    {name: cfexplain.evaluate(edit) for name, edit in edits.items()}
)
table[["mean_change", "inside_lesion", "high_frequency_share"]].droplevel(1)
