"""
Explain one lesion
==================

What is the smallest natural change to this lesion that would change the
prediction? Load a classifier and an image, ask for a counterfactual, and look
at it.
"""

# %%
# The shipped ``synthetic`` classifier tells benign from malignant drawn lesions
# of 64 pixels a side. Images are RGB in [0, 1], of shape (n, 3, h, w); the
# classifier normalises them itself.

import cfexplain
import cfexplain_classifiers
from cfexplain_datasets.synthetic import SyntheticLesions

classifier = cfexplain_classifiers.load("synthetic")
lesion = SyntheticLesions(8, size=classifier.image_size, split="test")[2]
images = lesion.image[None]
print(classifier.classes, classifier(images).probabilities)

# %%
# ``explain`` returns an ``Edit``: tensors for a batch of images. By default the
# target is the second most likely class and the method is ``natural``. The mask
# of the lesion is optional; it is used for metrics only.

result = cfexplain.explain(classifier, images, mask=lesion.mask[None])
print(result)

# %%
# From left to right: the query, the anchor (the generator's reconstruction of
# the query), the counterfactual, the change, and the class probabilities before
# and after. The change is the difference between two generated images, so it is
# free of the generator's own reconstruction error.

cfexplain.panel(result)

# %%
# ``describe`` judges and measures one counterfactual: verdict, metrics, and the
# lesion's asymmetry, border and colours before and after. In a notebook the
# explanation shows itself.

explanation = cfexplain.describe(result[0], classifier)
print(explanation.verdict.kind.value, "-", explanation.verdict.kind.meaning)
print(explanation.words)

# %%
# Save everything: PNG files, the exact tensors, and ``result.json``. ``load``
# reads the folder back.

import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    cfexplain.save(explanation, folder)
    print(*sorted(path.name for path in Path(folder).iterdir()))
    print(cfexplain.load(folder))
