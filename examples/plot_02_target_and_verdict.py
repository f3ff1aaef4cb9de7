"""
Choose the target, read the verdict
===================================

A counterfactual is evidence only if it is more than noise that fools one
network. Every explanation carries a verdict that says so, with the evidence it
rests on.
"""

# %%
import pandas as pd

import cfexplain
import cfexplain_classifiers
from cfexplain_datasets.synthetic import SyntheticLesions

classifier = cfexplain_classifiers.load("synthetic")
lesion = SyntheticLesions(8, size=64, split="test")[2]
images = lesion.image[None]

# %%
# Name the target class. Asking for the class that is predicted already is not
# an error: the status says so, and gives advice.

same = cfexplain.explain(classifier, images, target="malignant")
print(same.status[0].value, "-", same.status[0].advice)

# %%
# Two methods for the same target. ``pixels`` optimises the pixels themselves:
# the adversarial control. ``fast`` starts from weights that have seen
# lesions before.

mask = lesion.mask[None]
edits = {
    method.name: cfexplain.explain(
        classifier, images, "benign", method=method, mask=mask
    )
    for method in (cfexplain.PIXELS, cfexplain.FAST)
}
explanations = {
    name: cfexplain.describe(edit[0], classifier)
    for name, edit in edits.items()
}
cfexplain.panel(edits["pixels"])

# %%
cfexplain.panel(edits["fast"])

# %%
# Both change the prediction; the verdicts differ. ``adversarial``: too much of
# the change is fine grain, or the flip does not survive small image corruptions
# and no other classifier shares it. ``unconfirmed``: the flip is robust, but no
# independent classifier was there to confirm it. With ``oracles={"name":
# other_classifier}`` the verdict can become ``semantic`` or ``fragile``.


def column(explanation):
    verdict, metrics = explanation.verdict, explanation.metrics
    return {
        "verdict": verdict.kind.value,
        "robust to all corruptions together": verdict.robustness["together"],
        "high-frequency share of the change": round(
            verdict.high_frequency_share, 2
        ),
        "naturalness, percentile": round(verdict.naturalness, 1),
        "mean change": metrics["mean_change"],
        "share of the change inside the lesion": metrics["inside_lesion"],
    }


pd.DataFrame(
    {name: column(explanation) for name, explanation in explanations.items()}
)
