"""
An audit of a few lesions
=========================

An audit explains every image of a data set, keeps one row per image, and
summarises: how little flips which class into which, where the change lies, for
which group the classifier is fragile.
"""

# %%
# The data set: twelve drawn lesions. Anything with ``table``, ``len`` and
# ``[i]`` will do; ``open_dataset("auto", folder)`` reads ISIC's layouts, a
# folder per class, or a table.

# sphinx_gallery_thumbnail_path = 'audit.png'
import tempfile
from pathlib import Path

import cfexplain
import cfexplain_classifiers
from cfexplain.audit import Audit, audit
from cfexplain_datasets.synthetic import SyntheticLesions

classifier = cfexplain_classifiers.load("synthetic")
lesions = SyntheticLesions(12, size=64, split="test")
lesions.table[["label", "score", "diameter", "ruler", "hair"]].head()

# %%
# The fast ``tv`` method keeps this example short; take the default for real
# audits. Stopped or killed, the same call resumes. Rules turn the audit into a
# check: its outcome is pass, warn or fail.

folder = Path(tempfile.mkdtemp())
rules = ["found<0.9", "robust<0.8"]
done = audit(classifier, lesions, folder, method=cfexplain.TV, rules=rules)
for check in done.summary.checks:
    interval = f"[{check.low:.2f}, {check.high:.2f}]"
    print(f"{check.rule}: {check.outcome}, {check.value:.2f} {interval}")

# %%
# One row per image: the prediction, the verdict and its evidence, every metric,
# the lesion's readout. Most of these counterfactuals are adversarial: total
# variation is a weak prior.

rows = Audit.load(folder).rows
print(rows.shape)
rows[["label", "source", "target", "status", "verdict", "robust.together"]]

# %%
# The summary answers one question per section, each with n and a bootstrap
# interval over lesions.

done.summary["outcomes"]

# %%
# ``render`` writes ``report.html``, a self-contained page; on the command line
# it is ``cfexplain report FOLDER``.

from cfexplain.report import render

page = render(folder)
print(page.name, f"{page.stat().st_size / 1024:.0f} KiB")
