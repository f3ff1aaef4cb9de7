"""Copies of one photograph: which are found, which are not, and how well on real images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PIL
from PIL import ImageEnhance, ImageOps

from cfexplain_datasets import open_dataset
from cfexplain_datasets.fingerprint import BLOCK, Fingerprints, Twin
from cfexplain_datasets.table import LesionTable


@pytest.fixture
def lesion(isic_data: Path) -> PIL.Image:
    return PIL.open(isic_data / "ham10000_200x150" / "images" / "ISIC_0024306.jpg").convert("RGB")


def listed(folder: Path) -> LesionTable:
    files = sorted(folder.iterdir())
    table = pd.DataFrame({"path": [str(f) for f in files]}, index=[f.name for f in files])
    return LesionTable(("nv",), table.assign(label="nv", lesion_id=table.index, split=None, mask_path=None))


def twins(folder: Path) -> list[Twin]:
    return Fingerprints.of(listed(folder).table).twins()


def names(found: list[Twin]) -> set[tuple[str, str]]:
    return {(min(t.first, t.second), max(t.first, t.second)) for t in found}


def unchanged(image: PIL.Image) -> PIL.Image:
    return image


def enlarged(image: PIL.Image) -> PIL.Image:
    return image.resize((600, 450))


def brighter(image: PIL.Image) -> PIL.Image:
    return ImageEnhance.Brightness(image).enhance(1.15)


def redder(image: PIL.Image) -> PIL.Image:
    bands = zip(image.split(), (1.1, 1, 0.85), strict=True)
    return PIL.merge("RGB", [band.point([min(255, int(v * g)) for v in range(256)]) for band, g in bands])


def recropped(image: PIL.Image) -> PIL.Image:
    return image.crop((4, 3, 200, 150)).resize((200, 150))


@pytest.mark.parametrize("change", [unchanged, enlarged, brighter, redder, recropped])
def test_changed_copies_are_found(tmp_path: Path, lesion: PIL.Image, change: Callable[[PIL.Image], PIL.Image]) -> None:
    lesion.save(tmp_path / "a.png")
    change(lesion).save(tmp_path / "b.jpg", quality=60)
    (found,) = twins(tmp_path)
    assert found.kind == "near-duplicate"
    assert 0.7 < found.likeness <= 1.001


@pytest.mark.parametrize("change", [ImageOps.mirror, ImageOps.flip])
def test_mirrored_copies_are_not_found(
    tmp_path: Path, lesion: PIL.Image, change: Callable[[PIL.Image], PIL.Image]
) -> None:
    lesion.save(tmp_path / "a.png")
    change(lesion).save(tmp_path / "b.png")
    assert not twins(tmp_path)


def test_different_lesions_in_the_same_dark_frame_are_not_twins(isic_data: Path) -> None:
    dataset = open_dataset("ham10000", isic_data / "ham10000_200x150")
    alike = ["ISIC_0033076", "ISIC_0033922", "ISIC_0033439", "ISIC_0034301", "ISIC_0026657", "ISIC_0028438"]
    assert not Fingerprints.of(dataset.select(alike).table).twins()


def test_each_pair_of_identical_files_is_listed_once_even_if_they_are_blank(tmp_path: Path) -> None:
    for name in "abc":
        PIL.new("RGB", (40, 40), (200, 150, 120)).save(tmp_path / f"{name}.png")
    found = twins(tmp_path)
    assert sorted(names(found)) == [("a.png", "b.png"), ("a.png", "c.png"), ("b.png", "c.png")]
    assert len(found) == 3
    assert all(t.kind == "identical" for t in found)


def test_damaged_and_missing_files_are_listed_and_skipped(tmp_path: Path, lesion: PIL.Image) -> None:
    lesion.save(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"no image")
    dataset = listed(tmp_path)
    (tmp_path / "c.jpg").write_bytes(b"")
    whole = listed(tmp_path)
    (tmp_path / "c.jpg").unlink()
    assert set(Fingerprints.of(dataset.table).damaged) == {"b.jpg"}
    prints = Fingerprints.of(whole.table)
    assert set(prints.damaged) == {"b.jpg", "c.jpg"}
    assert prints.ids == ["a.jpg"]
    assert prints.sizes == [(150, 200)]


def test_a_data_set_without_readable_images_has_no_twins(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    assert twins(tmp_path) == []


def test_no_pair_is_missed_between_blocks() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (BLOCK + 30, 64, 64), dtype=np.uint8)
    grey[-1], grey[-2] = grey[3] // 2, grey[-5]
    ids = [str(i) for i in range(len(grey))]
    prints = Fingerprints(ids, ids, grey, [(64, 64)] * len(grey), [])
    assert {(int(t.first), int(t.second)) for t in prints.twins()} == {(3, BLOCK + 29), (BLOCK + 25, BLOCK + 28)}


def test_all_known_near_duplicates_of_isic_2017_are_found_and_only_copies(isic_data: Path) -> None:
    dataset = open_dataset("isic2017", isic_data / "isic2017_256")
    known = {(min(p), max(p)) for p in dataset.table["near_duplicate_of"].dropna().items()}
    some = sorted(
        {i for pair in known for i in pair} | {"ISIC_0012222", "ISIC_0016003"} | set(dataset.table.index[::8])
    )
    found = names(Fingerprints.of(dataset.select(some).table).twins())
    assert len(known) == 12
    assert known <= found
    assert found - known <= {("ISIC_0012222", "ISIC_0016003")}


FILED_TWICE = [
    ("ISIC_0025226", "ISIC_0030074"),
    ("ISIC_0029152", "ISIC_0033173"),
    ("ISIC_0027027", "ISIC_0029036"),
    ("ISIC_0027636", "ISIC_0027994"),
    ("ISIC_0025141", "ISIC_0025323"),
    ("ISIC_0034228", "ISIC_0034248"),
]


def test_images_of_ham10000_that_are_filed_under_two_lesions_are_found(isic_data: Path) -> None:
    dataset = open_dataset("ham10000", isic_data / "ham10000_200x150").select([i for p in FILED_TWICE for i in p])
    assert dataset.table["lesion_id"].nunique() == 12
    assert names(Fingerprints.of(dataset.table).twins()) == set(FILED_TWICE)


def test_all_other_twins_of_ham10000_show_one_lesion(isic_data: Path) -> None:
    dataset = open_dataset("ham10000", isic_data / "ham10000_200x150")
    lesions = dataset.table["lesion_id"]
    some = dataset.select(lesions.index[lesions.isin(lesions.unique()[::6])])
    found = names(Fingerprints.of(some.table).twins())
    assert found
    assert all(lesions[a] == lesions[b] for a, b in found - set(FILED_TWICE))
