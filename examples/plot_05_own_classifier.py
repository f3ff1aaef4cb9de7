"""
Your own classifier
===================

Any PyTorch module that maps images to logits can be explained. ``wrap`` leaves
it untouched: hooks live only during a call.
"""

# %%
# As a stand-in for your model, a small torchvision network is trained on drawn
# lesions for a quarter of a minute.

import torch
import torchvision

import cfexplain
from cfexplain_datasets.synthetic import SyntheticLesions

torch.manual_seed(0)
lesions = list(SyntheticLesions(480, size=64))
images = torch.stack([lesion.image for lesion in lesions])
labels = torch.tensor([lesion.label for lesion in lesions])
mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))

model = torchvision.models.shufflenet_v2_x0_5(num_classes=2).train()
optimiser = torch.optim.AdamW(model.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimiser, 5e-3, total_steps=12 * 15
)
for _ in range(12):
    for batch in torch.randperm(len(images)).split(32):
        normal = (images[batch] - mean[:, None, None]) / std[:, None, None]
        turned = normal.rot90(int(torch.randint(4, ())), (2, 3))
        loss = torch.nn.functional.cross_entropy(model(turned), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
model.eval()

# %%
# Wrap it. ``taps`` names the layers whose features the objective may use
# (shallow to deep, as in ``model.named_modules()``), ``mean`` and ``std`` its
# training normalisation.

classifier = cfexplain.wrap(
    model,
    taps=["conv1", "stage2", "stage3"],
    classes=["benign", "malignant"],
    image_size=64,
    mean=mean.tolist(),
    std=std.tolist(),
)
test = list(SyntheticLesions(100, size=64, split="test"))
logits = classifier(torch.stack([lesion.image for lesion in test])).logits
predicted = logits.argmax(1).tolist()
right = [test[k] for k in range(100) if test[k].label == predicted[k]]
print(f"accuracy {len(right) / len(test):.2f}")

# %%
# It has no loss estimator, so use a method that needs none. On the command line
# the same is ``cfexplain explain lesion.jpg --classifier my_module:load
# --method without-estimator``, where ``load()`` returns what ``wrap`` returns.

query = right[1].image[None]
result = cfexplain.explain(
    classifier, query, method=cfexplain.WITHOUT_ESTIMATOR
)
cfexplain.panel(result)

# %%
# A loss estimator can be fitted afterwards, from labelled validation images;
# the classifier stays as it is. Then all methods work, and the verdict includes
# a naturalness percentile. Two hundred drawn lesions serve as validation images
# here; take a thousand real ones.

import cfexplain_classifiers

validation = list(SyntheticLesions(200, size=64, split="val"))
batch = (
    torch.stack([lesion.image for lesion in validation]),
    torch.tensor([lesion.label for lesion in validation]),
)
estimated = cfexplain_classifiers.fit_estimator(classifier, [batch])
with torch.no_grad():
    loss = estimated(query).loss
print(f"estimated loss: {float(loss):+.2f} standard deviations")
