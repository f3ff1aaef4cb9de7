"""
Attribution maps beside the counterfactual
==========================================

A heat map points at pixels; a counterfactual says what would have to change
there. Compare the two, and test each map by swapping pixels between query and
counterfactual.
"""

# %%
import captum.metrics

import cfexplain
import cfexplain_classifiers
from cfexplain_datasets.synthetic import SyntheticLesions

classifier = cfexplain_classifiers.load("synthetic")
lesion = SyntheticLesions(8, size=64, split="test")[2]
images = lesion.image[None]
method, mask = cfexplain.FAST, lesion.mask[None]
result = cfexplain.explain(classifier, images, method=method, mask=mask)

# %%
# ``attribute`` calls captum by name, or takes any captum object. Maps are
# signed, of shape (n, h, w).

names = (
    "saliency",
    "integrated-gradients",
    "gradcam",
    "occlusion",
    "superpixels",
)
maps = {
    name: cfexplain.attribute(classifier, images, using=name) for name in names
}
comparison = cfexplain.compare(result, maps, classifier=classifier)
comparison

# %%
# Rank correlation and overlap say how far a map agrees with the change. COUT,
# sufficiency and necessity say what its pixels do: how quickly the prediction
# follows when pixels are swapped in the order of the map. The change itself,
# the image's edges and a random map are references.

columns = [
    "rank_correlation",
    "energy_inside",
    "cout",
    "sufficiency",
    "necessity",
]
comparison.rows.set_index("method")[columns].round(2)

# %%
# The counterfactual is a captum ``Attribution`` too, so captum's metrics apply
# to it.

ours = cfexplain.CounterfactualAttribution(classifier, method=cfexplain.PIXELS)
target = int(result.target)
print(ours.attribute(images, target=target).shape)
print(captum.metrics.sensitivity_max(ours.attribute, images, target=target))
