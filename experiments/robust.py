"""Train ham10000 once more, shown every image after one step of attack: what does that change in its explanations?

    python experiments/robust.py --weights mobilenet_v2.safetensors          50 minutes on one core

Then `isic_comparison.py --edition robust` explains the same lesions. The recipe is that of the shipped
`ham10000` with 9 epochs instead of 26 and `adversarial=4/255`, the distance of the first measurements.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shared import RESULTS, RUNS, command, write_json
from train_shipped import SHIPMENTS, augmentation, measure, sets

from cfexplain_classifiers import train
from cfexplain_classifiers.hardening import off_distribution

RECIPE = replace(SHIPMENTS["ham10000"].recipe, epochs=9, patience=9, adversarial=4 / 255, averaging=0.99)


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights of MobileNetV2")
    weights = parser.parse_args().weights
    training, validation, test = sets("ham10000")
    path = train(
        RECIPE, training, validation, RUNS / "robust", labels=training.labels, weights=weights, hardening=off_distribution,
        augment=augmentation("ham10000", RECIPE.image_size), progress=lambda line: print(line, flush=True),
    )  # fmt: skip
    write_json(RESULTS / "robust" / "test.json", measure(path, test).to_dict())


if __name__ == "__main__":
    main()
