"""What a classifier still knows of a lesion at each layer: pre-images by the prior and by total variation.

    python experiments/layers.py                    about 10 minutes on 2 cores

The founding comparison (Ulyanov et al. 2018, section 3; Narayanaswamy et al. 2021): each tap is inverted alone, from
shallow to deep. Two lesions of `twenty_lesions`: its first nevus and its first melanoma.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import torch

import cfexplain
from cfexplain import plot
from cfexplain.images import square
from cfexplain_classifiers import load

sys.path.insert(0, str(Path(__file__).parent))
from twenty_lesions import ROOT, fixed_list

OUT = ROOT / "experiments" / "results" / "layers"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    classifier, lesions = load("ham10000"), fixed_list(1)
    rows = []
    for lesion in lesions:
        query = square(lesion.image, classifier.image_size)[None]
        with torch.no_grad():
            depth = len(classifier(query).features)
        pictures = []
        for method in (cfexplain.DIP_INVERSION, cfexplain.TV_INVERSION):
            images = []
            for layer in range(depth):
                found = cfexplain.invert(classifier, query, layers=[layer], method=method)
                images.append((f"layer {layer}: {found.psnr[0]:.1f} dB", found.image[0]))
                rows.append(
                    {
                        "image": lesion.id,
                        "method": method.name,
                        "layer": layer,
                        "feature_error": round(float(found.feature_error[0, layer]), 5),
                        "psnr": round(found.psnr[0], 2),
                        "class_kept": bool(found.predicted[0, 0] == found.predicted[0, 1]),
                        "seconds": round(found.seconds[0], 1),
                    }
                )
                pd.DataFrame(rows).to_csv(OUT / "rows.csv", index=False)
                print(rows[-1], flush=True)
            pictures.append((method.name, images))
        plot.save(plot.inversion_figure(query[0], pictures), OUT / f"{lesion.id}.png")


if __name__ == "__main__":
    main()
