"""Values that tests name on the command line as module:name."""

from dataclasses import replace

import torch

from cfexplain.classifier.wrap import wrap
from cfexplain.method.presets import NATURAL, TV
from toys import Toy

QUICK = replace(NATURAL, name="quick", anchor=replace(NATURAL.anchor, steps=40), edit=replace(NATURAL.edit, steps=40))
STUCK = replace(TV, name="stuck", edit=replace(TV.edit, steps=1, learning_rate=1e-9))


def training_mode():
    """A classifier that was left in training mode."""
    return Toy().train()


def nan_weights():
    """A classifier whose weights went wrong."""
    toy = Toy()
    with torch.no_grad():
        toy.norm.weight.fill_(float("nan"))
    toy.forward = lambda images: Toy.forward(toy, images * float("nan"))
    return toy


def plain():
    """A model as people have it: no loss estimator."""
    layers = torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return wrap(torch.nn.Sequential(*layers).eval(), taps=["0"], classes=["benign", "malignant"], image_size=64)
