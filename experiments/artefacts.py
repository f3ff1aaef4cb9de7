"""Are the artefact finders right, and how common is what they find? results/artefacts/.

    python experiments/artefacts.py        about 3 minutes on 1 core

`sheet.png`: 48 lesions (the 49th to the 96th) of the list of `isic_comparison.py` (HAM10000 test split, fixed by digests before
anything was computed), each picture twice, plain and with what is found outlined, to be counted by eye; the counts are
in `README.md`. The first 48 were counted before the last change, and are not shown. `table.md`: the share of pictures of
the whole test split with each artefact, and its share of their area; by class; the skin's tone. The finders were chosen
on validation pictures.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import torch
from PIL import Image as PIL
from shared import RESULTS, ham10000, manifest, markdown

from cfexplain.audit.sections.gaps import WHITE_BALANCED
from cfexplain.dermoscopy.artefacts import ARTEFACTS, find_artefacts
from cfexplain.dermoscopy.skin_tone import TONES, ita, tone
from cfexplain.images import to_uint8
from cfexplain_datasets.lesion import Lesion

OUT = RESULTS / "artefacts"
COLOURS = {
    "hair": (0, 255, 255),
    "ruler": (255, 255, 0),
    "ink": (0, 255, 0),
    "dark_corner": (255, 0, 255),
    "bubbles": (0, 0, 255),
}
COUNTED, COLUMNS, ZOOM = slice(48, 96), 4, 2


def outlined(lesion: Lesion) -> np.ndarray:
    """The picture, and beside it the same with each artefact's outline."""
    import cv2

    plain = cv2.resize(to_uint8(lesion.image), None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    drawn = plain.copy()
    for name, mask in find_artefacts(lesion.image, lesion.mask).items():
        grown = cv2.resize(mask[0].numpy().astype(np.uint8), drawn.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        lines, _ = cv2.findContours(grown, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, lines, -1, COLOURS[name], 1)
    return np.pad(np.concatenate([plain, drawn], 1), ((0, 6), (0, 6), (0, 0)), constant_values=255)


def sheet(lesions: list[Lesion]) -> PIL.Image:
    """All pictures in rows; few colours, those of the outlines among them, keep the file small."""
    cells = [outlined(lesion) for lesion in lesions]
    rows = [np.concatenate(cells[at : at + COLUMNS], 1) for at in range(0, len(cells), COLUMNS)]
    whole = PIL.fromarray(np.concatenate(rows))
    small = whole.resize((whole.width // 2, whole.height // 2), PIL.Resampling.LANCZOS)
    few = PIL.new("P", (1, 1))
    few.putpalette(
        (small.quantize(200).getpalette() or [])[:600] + [level for colour in COLOURS.values() for level in colour]
    )
    return small.quantize(palette=few, dither=PIL.Dither.FLOYDSTEINBERG)


def measured(lesions: list[Lesion]) -> pd.DataFrame:
    """One row a picture: share of its area under each artefact, share of the lesion covered, angle of the skin."""
    rows = []
    for lesion in lesions:
        assert lesion.mask is not None, "HAM10000 has a mask for every image"
        began = time.process_time()
        found = find_artefacts(lesion.image, lesion.mask)
        seconds = time.process_time() - began
        row = {"seconds": seconds, "ita": ita(lesion.image, lesion.mask, torch.stack(list(found.values())).amax(0))}
        for name, mask in found.items():
            row[name] = float(mask.mean())
            row[f"{name} on lesion"] = float((mask * lesion.mask).sum() / lesion.mask.sum())
        rows.append(row)
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame, labels: pd.Series) -> str:
    def counted(number: int) -> str:
        return f"{number} ({number / len(rows):.1%})"

    found = {name: rows[rows[name] > 0] for name in ARTEFACTS}
    common = markdown(
        [
            "artefact",
            "pictures with it",
            "median share of the area where found",
            "on the lesion, of its area, where found",
        ],
        (
            [name, counted(len(have)), f"{have[name].median():.2%}", f"{have[f'{name} on lesion'].mean():.2%}"]
            for name, have in found.items()
        ),
    )
    by_class = markdown(
        ["class", "n", *ARTEFACTS, "ITA, median"],
        (
            [label, len(own), *(f"{(own[name] > 0).mean():.1%}" for name in ARTEFACTS), f"{own['ita'].median():.0f}"]
            for label, own in rows.groupby(labels.to_numpy())
        ),
    )
    bluish = rows["ita"].abs() >= WHITE_BALANCED
    tones = rows["ita"].mask(bluish).map(tone).value_counts()
    by_tone = markdown(["tone", "pictures"], ([name, counted(tones.get(name, 0))] for name in [*TONES, "unknown"]))
    return (
        f"{len(rows)} pictures, {rows['seconds'].mean():.3f} s of one core each.\n\n{common}\n{by_class}\n"
        f"{bluish.mean():.1%} of the pictures have an angle of {WHITE_BALANCED:g} degrees and more, up or down: "
        f"b* is about 0 or below, and the angle says nothing of the skin.\n\n{by_tone}"
    )


def main() -> None:
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    sheet(manifest()[COUNTED]).save(OUT / "sheet.png", optimize=True)
    test = ham10000("test")
    rows = measured(list(test))
    (OUT / "table.md").write_text(table(rows, test.table["label"]))
    print((OUT / "table.md").read_text())


if __name__ == "__main__":
    main()
