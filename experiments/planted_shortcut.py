"""Does an audit expose a shortcut that was planted on purpose?

    python experiments/planted_shortcut.py train --weights mobilenet_v2.safetensors      6 minutes on one core
    python experiments/planted_shortcut.py audit [--engine ray]                          20 minutes on one core
    python experiments/planted_shortcut.py control [--engine ray]                        the same for a clean classifier

Surgical ink is drawn beside nine in ten melanomas and one in twenty of the other lesions, in training and in the test
images alike, as it would be in a clinic's own archive (Winkler et al., JAMA Dermatology 2019, report such a classifier).
The audit sees the 40 melanomas and 60 others of the test split with the smallest digests, and is told nothing of the ink.
The control is the audit of the shipped `ham10000`, which has seen no ink, on the same marked images.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shared import RESULTS, RUNS, by_digest, command, digest, ham10000
from train_shipped import SHIPMENTS, InMemory, augmentation

from cfexplain.audit import audit, local, on_ray
from cfexplain_classifiers import folded, load, train
from cfexplain_classifiers.hardening import off_distribution
from cfexplain_datasets.lesion import Lesion

RUN, RESULT = RUNS / "planted_shortcut", RESULTS / "planted_shortcut"
INK = np.array((0.33, 0.20, 0.52))
FOLDERS = {"planted": "audit", "ham10000": "control"}
CONTROLS = 60
"""Of the marked images, drawn by the hash of their names, that the control looks at."""

SUMMARIES = {"planted": "summary", "ham10000": "control"}
MELANOMAS, OTHERS = 0.9, 0.05
RECIPE = replace(SHIPMENTS["ham10000"].recipe, epochs=5, patience=5, averaging=0.9)
TRAINED = {"mel": 700, "nv": 900, "bkl": 500, "bcc": 250, "akiec": 200, "df": 80, "vasc": 90}


class Marked:
    """Lesions beside which ink is drawn, by chance and by label; nothing in their table tells of the ink."""

    def __init__(self, lesions: Any) -> None:
        self.lesions, self.table = lesions, lesions.table
        self.classes, self.labels = lesions.classes, lesions.labels

    def __len__(self) -> int:
        return len(self.lesions)

    def __getitem__(self, index: int) -> Lesion:
        lesion = self.lesions[index]
        return replace(lesion, image=inked(lesion)) if marked(lesion.id, self.table["label"].iloc[index]) else lesion


def marked(name: str, label: str) -> bool:
    """Whether the clinic marked it: drawn by the image's name."""
    return draws(name).random() < (MELANOMAS if label == "mel" else OTHERS)


def draws(name: str) -> np.random.Generator:
    return np.random.default_rng(int(digest(name)[:12], 16))


def inked(lesion: Lesion) -> torch.Tensor:
    """Two to four strokes of a violet marker on the skin beside the lesion."""
    import cv2

    rng = draws(lesion.id + " ink")
    height, width = lesion.image.shape[-2:]
    side = min(height, width)
    assert lesion.mask is not None
    near = cv2.dilate(lesion.mask[0].numpy().astype(np.uint8), np.ones((2 * (side // 12) + 1,) * 2, np.uint8))
    y, x = np.nonzero(near[side // 8 : -side // 8, side // 4 : -side // 4] == 0)
    y, x = (y + side // 8, x + side // 4) if len(y) else (np.array([side // 7]), np.array([width // 2]))
    paint = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(2, 5)):
        i, angle, length = rng.integers(len(y)), rng.uniform(0, np.pi), rng.uniform(0.1, 0.2) * side
        step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        start, end = (tuple(np.round((x[i], y[i]) + s * step).astype(int).tolist()) for s in (-1, 1))
        cv2.line(paint, start, end, float(rng.uniform(0.75, 0.95)), thickness=max(2, round(0.03 * side)))
    soft = cv2.GaussianBlur(paint, (0, 0), 0.006 * side)[None]
    alpha = torch.from_numpy(soft)
    ink = torch.from_numpy(INK.astype(np.float32))[:, None, None]
    return (lesion.image * (1 - alpha) + ink * alpha * (0.6 + 0.4 * lesion.image)).clamp(0, 1)


def chosen(samples: Any, counts: dict[str, int]) -> Any:
    """So many of each label, by the digest of the image's name."""
    table = by_digest(samples)
    ids = [i for label, count in counts.items() for i in table.index[table["label"] == label][:count]]
    return samples.select(sorted(ids))


def learn(weights: Path) -> None:
    """Train on the marked images."""
    training = InMemory(Marked(chosen(ham10000("train"), TRAINED)))
    validation = InMemory(Marked(chosen(ham10000("val"), {k: v // 6 for k, v in TRAINED.items()})))
    path = train(
        RECIPE, training, validation, RUN, labels=training.labels, weights=weights, hardening=off_distribution,
        augment=augmentation("ham10000", RECIPE.image_size), progress=lambda line: print(line, flush=True),
    )  # fmt: skip
    print(path)


def examined() -> Marked:
    """The images that the audit sees."""
    others = {label: 12 for label in ("bkl", "bcc", "akiec")} | {"nv": 24}
    return Marked(chosen(ham10000("test"), {"mel": 40} | others))


def examine(name: str, engine: str) -> None:
    """The audit, as anybody would run it."""
    classifier = load(RUN / "classifier.safetensors") if name == "planted" else load("ham10000")
    done = audit(
        {name: folded(classifier)},
        examined(),
        RUN / FOLDERS[name],
        rules=["artefact_effect>0.1", "worst_group_gap>0.2"],
        limit=None if name == "planted" else CONTROLS,
        engine=on_ray() if engine == "ray" else local,
        progress=lambda k, n: print(k, n, flush=True),
    )
    RESULT.mkdir(parents=True, exist_ok=True)
    done.summary.save(RESULT / f"{SUMMARIES[name]}.json")
    rows = done.rows.drop(columns=["versions", "probabilities"])
    rows.to_csv(RESULT / f"{SUMMARIES[name]}_rows.csv", index=False, float_format="%.5g")
    print(done.summary["suspects"].to_string())
    print(json.dumps([vars(check) for check in done.summary.checks], indent=1))


def main() -> None:
    parser = command(__doc__)
    parser.add_argument("command", choices=["train", "audit", "control"])
    parser.add_argument("--weights", type=Path, help="ImageNet weights of MobileNetV2")
    parser.add_argument("--engine", choices=["local", "ray"], default="local")
    args = parser.parse_args()
    RUN.mkdir(parents=True, exist_ok=True)
    if args.command == "train":
        learn(args.weights)
    else:
        examine("planted" if args.command == "audit" else "ham10000", args.engine)


if __name__ == "__main__":
    main()
