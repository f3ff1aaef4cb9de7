"""Identical files and near-duplicates: what is found, what is not, and how well on real pictures."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PIL
from PIL import ImageEnhance, ImageOps

from cfexplain_datasets.duplicates import Print, find_duplicates, take_print


@pytest.fixture
def lesion(isic_data: Path) -> PIL.Image:
    return PIL.open(isic_data / "ham10000_200x150" / "images" / "ISIC_0024306.jpg").convert("RGB")


def prints(folder: Path) -> list[Print]:
    return [take_print(path.name, path) for path in sorted(folder.iterdir())]


def pairs(found: list[Print]) -> set[tuple[str, str]]:
    return {(d.first, d.second) for d in find_duplicates(found)}


def resized(picture: PIL.Image) -> PIL.Image:
    return picture.resize((600, 450))


def brighter(picture: PIL.Image) -> PIL.Image:
    return ImageEnhance.Brightness(picture).enhance(1.15)


def redder(picture: PIL.Image) -> PIL.Image:
    return PIL.merge(
        "RGB",
        [
            band.point([min(255, int(v * g)) for v in range(256)])
            for band, g in zip(picture.split(), (1.1, 1, 0.85), strict=True)
        ],
    )


def shifted(picture: PIL.Image) -> PIL.Image:
    return picture.crop((4, 3, 200, 150)).resize((200, 150))


@pytest.mark.parametrize("change", [resized, brighter, redder, shifted])
def test_changed_copies_are_near_duplicates(
    tmp_path: Path, lesion: PIL.Image, change: Callable[[PIL.Image], PIL.Image]
) -> None:
    lesion.save(tmp_path / "a.png")
    change(lesion).save(tmp_path / "b.jpg", quality=60)
    (found,) = find_duplicates(prints(tmp_path))
    assert found.kind == "near-duplicate"
    assert found.similarity > 0.9


def test_a_mirrored_copy_is_not_found(tmp_path: Path, lesion: PIL.Image) -> None:
    lesion.save(tmp_path / "a.png")
    ImageOps.mirror(lesion).save(tmp_path / "b.png")
    assert not find_duplicates(prints(tmp_path))


def test_identical_files_are_named_once_also_where_they_are_blank(tmp_path: Path) -> None:
    for name in "abc":
        PIL.new("RGB", (40, 40), (200, 150, 120)).save(tmp_path / f"{name}.png")
    found = find_duplicates(prints(tmp_path))
    assert [(d.first, d.second) for d in found] == [("a.png", "b.png"), ("a.png", "c.png"), ("b.png", "c.png")]
    assert all(d.identical for d in found)


def test_damaged_and_missing_files_resemble_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "b.jpg").write_bytes(b"none either")
    found = [*prints(tmp_path), take_print("gone", tmp_path / "gone.jpg"), take_print("lost", tmp_path / "lost.jpg")]
    assert [p.size for p in found] == [(0, 0)] * 4
    assert not find_duplicates(found)
    assert not find_duplicates([])


def test_blocks_miss_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    greys = [rng.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(30)]
    some = [Print(str(k), str(k), (64, 64), grey) for k, grey in enumerate([*greys, greys[3] // 2, greys[17]])]
    monkeypatch.setattr("cfexplain_datasets.duplicates._BLOCK", 7)
    assert pairs(some) == {("3", "30"), ("17", "31")}


def test_all_labelled_near_duplicates_of_isic_2017_are_found(isic_data: Path) -> None:
    folder = isic_data / "isic2017_256"
    table = pd.read_csv(folder / "labels.csv").set_index("image_id")
    named = table["near_duplicate_of"].dropna()
    labelled = {tuple(sorted(pair)) for pair in named.items()}
    some = sorted({i for pair in labelled for i in pair} | set(table.index[::10]))
    found = pairs([take_print(i, folder / table.at[i, "file"]) for i in some])
    assert len(labelled) == 12
    assert labelled <= {tuple(sorted(pair)) for pair in found}


def test_of_ham10000_only_images_of_one_lesion_are_found(isic_data: Path) -> None:
    folder = isic_data / "ham10000_200x150"
    table = pd.read_csv(folder / "labels.csv").set_index("image_id")
    some = table[table["lesion_id"].isin(table["lesion_id"].drop_duplicates()[::6])]
    found = pairs([take_print(i, folder / f) for i, f in some["file"].items()])
    assert found
    assert all(table.at[a, "lesion_id"] == table.at[b, "lesion_id"] for a, b in found)


def test_one_picture_filed_under_two_lesions_is_found(tmp_path: Path, isic_data: Path) -> None:
    for name in ("ISIC_0025226.jpg", "ISIC_0030074.jpg", "ISIC_0033497.jpg", "ISIC_0033739.jpg"):
        shutil.copy(isic_data / "ham10000_200x150" / "images" / name, tmp_path)
    assert pairs(prints(tmp_path)) == {("ISIC_0025226.jpg", "ISIC_0030074.jpg")}
