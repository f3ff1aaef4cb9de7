"""Train ham10000 once more, shown every image after one step of attack: what does that change in its explanations?

    python experiments/robust.py --weights mobilenet_v2.safetensors          50 minutes on one core

Then `isic_comparison.py search --classifier robust` explains the same lesions. The recipe is that of the shipped
`ham10000` with 9 epochs instead of 26 and `adversarial=4/255`, the distance of the first measurements.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from train_shipped import ROOT, SHIPMENTS, augmentation, measure, sets

from cfexplain_classifiers import train
from cfexplain_classifiers.hardening import off_distribution

RUN = ROOT / "runs" / "robust"
RECIPE = replace(SHIPMENTS["ham10000"].recipe, epochs=9, patience=9, adversarial=4 / 255, averaging=0.99)
RESULT = ROOT / "experiments" / "results" / "robust" / "test.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights of MobileNetV2")
    weights = parser.parse_args().weights
    training, validation, test = sets("ham10000")
    path = train(
        RECIPE, training, validation, RUN, labels=training.labels, weights=weights, hardening=off_distribution,
        augment=augmentation("ham10000", RECIPE.image_size), progress=lambda line: print(line, flush=True),
    )  # fmt: skip
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(measure("robust", path, test).to_dict(), indent=1) + "\n")


if __name__ == "__main__":
    main()
